package kzoo.app

import android.app.Activity
import android.app.AlertDialog
import android.content.ActivityNotFoundException
import android.content.Context
import android.content.Intent
import android.graphics.Rect
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.view.accessibility.AccessibilityNodeInfo
import android.view.inputmethod.InputMethodManager
import android.widget.ImageView
import android.widget.TextView
import android.widget.Toast

/** The only activity: ten screens, the tabs below them, and the choice of the bundle above. */
class MainActivity : Activity() {
    private class Tab(val screen: Screen, val title: Int, val icon: Int, val button: View)

    private lateinit var tabs: List<Tab>
    private var current = 0
    private var sources: List<Source> = emptyList()
    private var dialog: AlertDialog? = null

    /** Whether nobody has gone to a screen yet. */
    private var fresh = false

    /** Whether it was looked up what bundles there are. */
    var listed = false
        private set

    /** What waits for that. */
    private val waiting = ArrayList<() -> Unit>()
    private val app get() = application as KzooApp
    private val preferences get() = getSharedPreferences("chosen", Context.MODE_PRIVATE)

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        app.activity = this
        setContentView(R.layout.main)
        padForSystemBars()
        val classify = ClassifyScreen(this)
        tabs = listOf(
            tab(classify, R.string.classify, R.drawable.ic_classify),
            tab(SearchScreen(this), R.string.search, R.drawable.ic_search),
            tab(EntitiesScreen(this), R.string.entities, R.drawable.ic_entities),
            tab(AnswerScreen(this), R.string.answer, R.drawable.ic_answer),
            tab(WriteScreen(this), R.string.write, R.drawable.ic_write),
            tab(RewriteScreen(this), R.string.rewrite, R.drawable.ic_rewrite),
            tab(PictureScreen(this), R.string.picture, R.drawable.ic_picture),
            tab(PhotosScreen(this), R.string.photos, R.drawable.ic_photos),
            tab(SoundScreen(this), R.string.sound, R.drawable.ic_sound),
            tab(BundleScreen(this), R.string.bundle, R.drawable.ic_bundle),
        )
        val content = findViewById<ViewGroup>(R.id.content)
        tabs.forEach { content.addView(it.screen.view) }
        findViewById<View>(R.id.chosen).setOnClickListener { choose() }
        classify.pair = state?.getBoolean(PAIR) ?: false
        state?.let { tabs.forEach { tab -> tab.screen.restore(it) } }
        current = state?.getInt(CURRENT) ?: 0
        fresh = state == null
        listAgain()
    }

    override fun onStart() {
        super.onStart()
        select(current)
    }

    override fun onStop() {
        tabs.forEach { it.screen.hide() }
        super.onStop()
    }

    override fun onSaveInstanceState(state: Bundle) {
        super.onSaveInstanceState(state)
        state.putInt(CURRENT, current)
        tabs.forEach { it.screen.save(state) }
        state.putBoolean(PAIR, (tabs[0].screen as ClassifyScreen).pair)
    }

    /** From API 35 on the window lies under the system's bars: the content must not. */
    @Suppress("DEPRECATION") // What replaced it is not on API 26, and computes the same.
    private fun padForSystemBars() {
        findViewById<View>(R.id.root).setOnApplyWindowInsetsListener { root, insets ->
            root.setPadding(
                insets.systemWindowInsetLeft, insets.systemWindowInsetTop, insets.systemWindowInsetRight, 0,
            )
            findViewById<View>(R.id.tabs).setPadding(0, 0, 0, insets.systemWindowInsetBottom)
            insets.consumeSystemWindowInsets()
        }
    }

    private fun tab(screen: Screen, title: Int, icon: Int): Tab {
        val row = findViewById<ViewGroup>(R.id.tabs)
        val button = layoutInflater.inflate(R.layout.tab, row, false)
        button.findViewById<ImageView>(R.id.icon).setImageResource(icon)
        button.findViewById<TextView>(R.id.label).setText(title)
        button.contentDescription = getString(title)
        button.accessibilityDelegate = object : View.AccessibilityDelegate() {
            override fun onInitializeAccessibilityNodeInfo(host: View, info: AccessibilityNodeInfo) {
                super.onInitializeAccessibilityNodeInfo(host, info)
                info.className = "android.widget.TabWidget"
            }
        }
        val place = row.childCount
        button.setOnClickListener {
            fresh = false
            select(place)
        }
        row.addView(button)
        return Tab(screen, title, icon, button)
    }

    /** Goes to a screen. */
    fun select(place: Int) {
        if (place != current) hideKeyboard()
        current = place
        tabs.forEachIndexed { each, tab ->
            tab.button.isSelected = each == place
            tab.screen.view.showIf(each == place)
            if (each != place) tab.screen.hide()
        }
        findViewById<TextView>(R.id.title).setText(tabs[place].title)
        showChosen()
        // With half of its neighbours, so that one sees that there are more.
        tabs[place].button.run { post { requestRectangleOnScreen(Rect(-width / 2, 0, width + width / 2, height)) } }
        tabs[place].screen.show()
    }

    private fun hideKeyboard() {
        val keyboard = getSystemService(Context.INPUT_METHOD_SERVICE) as InputMethodManager
        keyboard.hideSoftInputFromWindow(findViewById<View>(R.id.root).windowToken, 0)
    }

    /** Looks up what bundles there are, and gives each screen the one that was chosen for it. */
    fun listAgain() {
        app.worker.submit(
            this,
            { app.library.all() to preferences.all },
            { (found, kept) ->
                sources = found
                for (tab in tabs) {
                    val fitting = fitting(tab.screen)
                    val chosen = kept[tab.screen.key]
                    val first = if (tab.screen.answers == null) tabs.firstNotNullOfOrNull { it.screen.source } else null
                    tab.screen.use(fitting.firstOrNull { it.id == chosen } ?: first ?: fitting.firstOrNull())
                }
                listed = true
                if (fresh && tabs[current].screen.source == null) tabs.indexOfFirst { it.screen.source != null }.takeIf { it >= 0 }?.let(::select)
                fresh = false
                showChosen()
                waiting.forEach { it() }
                waiting.clear()
            },
            { error -> tell(sentence(error)) },
        )
    }

    private fun fitting(screen: Screen) = sources.filter { screen.answers == null || screen.fits(it) }

    private fun showChosen() {
        val chosen = findViewById<TextView>(R.id.chosen)
        val title = tabs[current].screen.source?.title
        chosen.text = title ?: getString(R.string.no_bundle)
        chosen.contentDescription = if (title == null) getString(R.string.no_bundle) else getString(R.string.chosen, title)
    }

    private fun choose() {
        val screen = tabs[current].screen
        val fitting = fitting(screen)
        val choice = AlertDialog.Builder(this)
            .setTitle(R.string.choose_bundle)
            .setSingleChoiceItems(
                fitting.map { it.title }.toTypedArray(),
                fitting.indexOfFirst { it.id == screen.source?.id },
            ) { dialog, place ->
                dialog.dismiss()
                use(screen, fitting[place])
            }
            .setNeutralButton(R.string.open_file) { _, _ -> openFile() }
            .setNegativeButton(R.string.cancel, null)
        show(choice)
    }

    private fun use(screen: Screen, source: Source) {
        preferences.edit().putString(screen.key, source.id).apply()
        screen.use(source)
        showChosen()
    }

    private fun openFile() {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType("*/*")
            .putExtra(Intent.EXTRA_MIME_TYPES, arrayOf("application/zip", "application/octet-stream"))
        try {
            startActivityForResult(intent, OPEN)
        } catch (error: ActivityNotFoundException) {
            tell(getString(R.string.no_files))
        }
    }

    public override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        val uri = data?.data
        if (result != RESULT_OK) return
        if (request == OPEN && uri != null) add(uri)
        whenListed { tabs.forEach { it.screen.received(request, data) } }
    }

    override fun onRequestPermissionsResult(request: Int, permissions: Array<String>, granted: IntArray) {
        super.onRequestPermissionsResult(request, permissions, granted)
        whenListed { tabs.forEach { it.screen.permitted(request) } }
    }

    /** Tells the screens of an answer once they have their bundles: under a question the screen may have turned. */
    private fun whenListed(tell: () -> Unit) {
        if (listed) tell() else waiting.add(tell)
    }

    /** Adds the zip of a bundle, and goes to the screen that it is for. */
    fun add(uri: Uri) {
        Toast.makeText(this, R.string.copying, Toast.LENGTH_SHORT).show()
        app.worker.submit(
            uri,
            { app.library.add(uri) },
            { source -> app.activity?.added(source) },
            { error -> app.activity?.run { tell(sentence(error)) } },
        )
    }

    private fun added(source: Source) {
        val own = tabs.indexOfFirst { it.screen.fits(source) }
        val place = if (own >= 0) own else tabs.indexOfFirst { it.screen.answers == null }
        preferences.edit().putString(tabs[place].screen.key, source.id).apply()
        listAgain()
        select(place)
        Toast.makeText(this, getString(R.string.added, source.title), Toast.LENGTH_SHORT).show()
    }

    /** A sentence that belongs to no screen. */
    fun tell(sentence: String) {
        show(AlertDialog.Builder(this).setMessage(sentence).setPositiveButton(android.R.string.ok, null))
    }

    /** One dialog at a time, which goes when the screen turns. */
    fun show(question: AlertDialog.Builder) {
        dialog?.dismiss()
        dialog = question.show()
    }

    override fun onDestroy() {
        app.worker.cancel(this)
        dialog?.dismiss()
        if (app.activity === this) app.activity = null
        super.onDestroy()
    }

    private companion object {
        const val OPEN = 1
        const val CURRENT = "current"
        const val PAIR = "pair"
    }
}
