package kzoo.app

import android.app.Activity
import android.app.AlertDialog
import android.content.ClipData
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.os.Build
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView
import java.io.ByteArrayInputStream
import java.io.File
import org.junit.Assert.assertTrue
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.shadows.ShadowAlertDialog

/** The app as a user has it before them. */
class Phone(dark: Boolean = false) {
    val controller: ActivityController<MainActivity>

    init {
        RuntimeEnvironment.setQualifiers("w360dp-h740dp-${if (dark) "night" else "notnight"}-xhdpi")
        controller = Robolectric.buildActivity(MainActivity::class.java).setup()
        settle()
        until("the bundles are listed") { activity.listed }
    }

    val activity: MainActivity get() = controller.get()
    val app get() = activity.application as KzooApp

    fun go(tab: Int) {
        val tabs = activity.findViewById<ViewGroup>(R.id.tabs)
        tabs.getChildAt(tab).performClick()
        settle()
    }

    /** The view with an id on the screen that is shown. */
    fun <V : View> find(id: Int): V {
        val content = activity.findViewById<ViewGroup>(R.id.content)
        val shown = (0 until content.childCount).map(content::getChildAt).single { it.visibility == View.VISIBLE }
        return shown.findViewById(id) ?: activity.findViewById(id)!!
    }

    fun type(id: Int, text: String) {
        val field: EditText = find(id)
        field.setText(text)
        field.setSelection(field.length())
        settle()
    }

    /** Presses the button of the screen that writes, and waits until it has written. */
    fun write() {
        val label = text(R.id.go)
        find<View>(R.id.go).performClick()
        until("it has written") { text(R.id.go) == label }
    }

    /** Opens a file with the app, as a user does. */
    fun add(bytes: ByteArray, name: String = "mine.zip") {
        val uri = Uri.parse("content://files/$name")
        shadowOf(activity.contentResolver).registerInputStream(uri, ByteArrayInputStream(bytes))
        activity.add(uri)
        settle()
    }

    /** Presses a button that asks another app, which answers with the file of these bytes. */
    fun answer(button: Int, bytes: ByteArray, name: String) {
        find<View>(button).performClick()
        val asked = shadowOf(activity).nextStartedActivityForResult
        val target = Uri.parse("content://files/$name")
        shadowOf(activity.contentResolver).registerInputStreamSupplier(target) { ByteArrayInputStream(bytes) }
        activity.onActivityResult(asked.requestCode, Activity.RESULT_OK, Intent().setData(target))
        settle()
    }

    /** Presses the button that asks for pictures, and answers with these files. */
    fun choose(names: List<String>) {
        find<View>(R.id.choose).performClick()
        val asked = shadowOf(activity).nextStartedActivityForResult
        val several = names.map { Uri.parse("content://files/$it") }
        for ((name, target) in names.zip(several)) shadowOf(activity.contentResolver).registerInputStreamSupplier(target) { ByteArrayInputStream(given(name)) }
        val data = ClipData.newRawUri(null, several[0]).apply { several.drop(1).forEach { addItem(ClipData.Item(it)) } }
        activity.onActivityResult(asked.requestCode, Activity.RESULT_OK, Intent().apply { clipData = data })
        settle()
    }

    /** What a text view says, or null where it is hidden or empty. */
    fun text(id: Int): String? {
        val view: TextView = find(id)
        return view.text.toString().takeIf { view.visibility == View.VISIBLE && it.isNotEmpty() }
    }

    fun rows(id: Int): List<View> = find<LinearLayout>(id).run { (0 until childCount).map(::getChildAt) }

    fun dialog(): String? {
        val dialog = ShadowAlertDialog.getLatestDialog() as? AlertDialog ?: return null
        return dialog.findViewById<TextView>(android.R.id.message)?.text?.toString()
    }

    fun settle() = shadowOf(Looper.getMainLooper()).idle()

    fun until(what: String, condition: () -> Boolean) {
        val end = System.nanoTime() + 60_000_000_000
        while (!condition()) {
            assertTrue("after 60 s it is not so that $what; the screen says ${said()}", System.nanoTime() < end)
            Thread.sleep(5)
            settle()
        }
    }

    /** Every text on the screen. */
    fun said(): List<String> = views().filterIsInstance<TextView>().map { it.text.toString() }.filter { it.isNotEmpty() }.toList()

    fun views(root: View = activity.window.decorView): Sequence<View> = sequence {
        if (root.visibility != View.VISIBLE) return@sequence
        yield(root)
        if (root is ViewGroup) for (place in 0 until root.childCount) yieldAll(views(root.getChildAt(place)))
    }

    /** Draws the whole window into target/NAME-apiN.png. */
    fun picture(name: String, height: Int = 1480) {
        val root = activity.window.decorView
        val width = 720
        root.measure(exactly(width), exactly(height))
        root.layout(0, 0, width, height)
        settle()
        val bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
        root.draw(Canvas(bitmap))
        File("target/screens").mkdirs()
        File("target/screens/$name-api${Build.VERSION.SDK_INT}.png").outputStream().use {
            assertTrue(bitmap.compress(Bitmap.CompressFormat.PNG, 100, it))
        }
        bitmap.recycle()
    }

    private fun exactly(size: Int) = View.MeasureSpec.makeMeasureSpec(size, View.MeasureSpec.EXACTLY)

    companion object {
        const val CLASSIFY = 0
        const val SEARCH = 1
        const val ENTITIES = 2
        const val ANSWER = 3
        const val WRITE = 4
        const val REWRITE = 5
        const val PICTURE = 6
        const val PHOTOS = 7
        const val SOUND = 8
        const val BUNDLE = 9
    }
}
