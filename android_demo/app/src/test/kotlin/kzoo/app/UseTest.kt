package kzoo.app

import android.app.Activity
import android.app.AlertDialog
import android.content.Intent
import android.graphics.Rect
import android.graphics.drawable.BitmapDrawable
import android.net.Uri
import android.os.Build
import android.os.Looper
import android.os.Parcel
import android.provider.DocumentsContract
import android.provider.MediaStore
import android.text.Spanned
import android.text.style.BackgroundColorSpan
import android.view.View
import android.view.WindowInsets
import android.widget.EditText
import android.widget.ImageView
import android.widget.TextView
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import java.util.concurrent.Semaphore
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Export
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.Processor
import kzoo.core.bundle.Similarity
import kzoo.core.json.Json
import kzoo.core.task.similarity
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowAlertDialog
import org.robolectric.shadows.ShadowAudioRecord
import org.robolectric.shadows.ShadowToast

/** What users do, and what goes wrong. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [26, 35], application = TestApp::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class UseTest {
    private val sentiment = File(System.getProperty("older"))

    @Test
    fun `the latest text wins`() {
        val phone = Phone()
        for (text in listOf("Awful.", "A terrible mess.", "Boring and bad.", "An absolute delight!")) {
            phone.find<EditText>(R.id.text).setText(text) // Without waiting for an answer.
        }
        phone.until("a label is shown") { phone.text(R.id.result) != null }
        assertEquals("positive", phone.text(R.id.result))
        phone.type(R.id.text, "")
        assertNull(phone.text(R.id.result))
        assertEquals(0, phone.rows(R.id.bars).size)
    }

    @Test
    fun `a second text is read with the first`() {
        val phone = Phone()
        phone.type(R.id.text, "It was")
        phone.find<View>(R.id.toggle).performClick()
        phone.settle()
        assertNull(phone.text(R.id.result)) // Two texts are asked for, and one is missing.
        phone.type(R.id.second, "a waste of time")
        phone.until("a label is shown") { phone.text(R.id.result) == "negative" }
        phone.find<View>(R.id.toggle).performClick()
        assertEquals(View.GONE, phone.find<View>(R.id.second).visibility)
    }

    @Test
    fun `a bundle of pairs asks for two texts and any other as it says`() {
        val phone = Phone()
        phone.add(zip(small("pairs"), ""))
        phone.until("it is in use") { phone.text(R.id.chosen) == "mine" }
        assertEquals(View.VISIBLE, phone.find<View>(R.id.second).visibility)
        assertEquals(View.GONE, phone.find<View>(R.id.toggle).visibility)
        phone.type(R.id.text, "It was")
        assertNull(phone.text(R.id.result))
        phone.type(R.id.second, "a waste of time")
        phone.until("a label is shown") { phone.text(R.id.result)?.startsWith("label ") == true }
    }

    @Test
    fun `labels that reach the threshold and values are shown as such`() {
        val phone = Phone()
        val written = File(small("several").path + ".jsonl").readLines()[0].let { Json.parse(it) as Map<*, *> }
        phone.add(zip(small("several"), ""))
        phone.until("it is in use") { phone.text(R.id.chosen) == "mine" }
        phone.type(R.id.text, written["text"].toString())
        val labels = (written["labels"] as List<*>).joinToString().ifEmpty { "No label is likely enough." }
        phone.until("its labels are shown") { phone.text(R.id.result) == labels }
        assertEquals(5, phone.rows(R.id.bars).size)
        phone.add(zip(small("values"), ""), "values.zip")
        phone.until("the other is in use") { phone.text(R.id.chosen) == "values" }
        phone.until("its values are shown") { phone.rows(R.id.bars).size == 2 && phone.text(R.id.result) == null }
        assertEquals(listOf("warm", "new"), phone.rows(R.id.bars).map { it.findViewById<TextView>(R.id.label)!!.text.toString() })
    }

    @Test
    fun `turning the screen keeps text, tab and answer`() {
        val phone = Phone()
        phone.find<View>(R.id.toggle).performClick()
        phone.type(R.id.text, "A wonderful film.")
        phone.type(R.id.second, "I loved it.")
        phone.until("a label is shown") { phone.text(R.id.result) == "positive" }
        phone.activity.findViewById<EditText>(R.id.sentence).setText("Another text")
        RuntimeEnvironment.setQualifiers("+land")
        phone.controller.recreate()
        phone.until("the label is back") { phone.text(R.id.result) == "positive" }
        assertEquals("A wonderful film.", phone.text(R.id.text))
        assertEquals("I loved it.", phone.text(R.id.second))
        phone.go(Phone.BUNDLE)
        phone.until("everything is measured") { phone.rows(R.id.latency).isNotEmpty() }
        phone.controller.recreate()
        phone.settle()
        assertEquals(phone.activity.getString(R.string.bundle), phone.text(R.id.title))
        phone.until("what was measured is back") { phone.rows(R.id.latency).isNotEmpty() }
    }

    @Test
    fun `texts that hold nothing, or too much`() {
        val phone = Phone()
        phone.type(R.id.text, "\u0001\u0002\u0007\u001b")
        phone.until("the screen says so") { phone.text(R.id.problem) == "This text holds nothing that the model reads." }
        assertNull(phone.text(R.id.result))
        phone.type(R.id.text, "A lovely day \uD83D")
        phone.until("a label is shown") { phone.text(R.id.result) == "positive" }
        phone.type(R.id.text, "good ".repeat(1_000_000))
        phone.until("a label is shown") { phone.text(R.id.note)?.contains("Only the first 128 tokens were read.") == true }
        assertEquals(10_000, phone.find<EditText>(R.id.text).length())
        assertEquals("Only the first 10,000 characters are kept.", ShadowToast.getTextOfLatestToast())
        assertNull(phone.text(R.id.problem))
        for (field in listOf(R.id.second, R.id.query, R.id.list, R.id.sentence, R.id.question, R.id.passage, R.id.prompt, R.id.words, R.id.labels)) {
            phone.activity.findViewById<EditText>(field).setText("good ".repeat(1_000_000))
        }
        val state = android.os.Bundle()
        phone.controller.saveInstanceState(state)
        val parcel = Parcel.obtain()
        parcel.writeBundle(state)
        assertTrue("${parcel.dataSize()} bytes of state", parcel.dataSize() in 200_000..500_000)
        parcel.recycle()
    }

    @Test
    @Config(application = SlowApp::class)
    fun `work that nobody waits for is not done`() {
        val phone = Phone()
        val app = phone.app as SlowApp
        app.waitIn.set(1)
        phone.type(R.id.text, "Awful.")
        phone.until("it reads") { app.runs.get() == 1 }
        for (text in listOf("A terrible mess.", "Boring and bad.", "A delight!")) phone.type(R.id.text, text)
        app.goOn.release()
        phone.until("a label is shown") { phone.text(R.id.result) != null }
        assertEquals("positive", phone.text(R.id.result))
        assertEquals("the first text and the last", 2, app.runs.get())

        phone.add(zip(small("questions"), ""))
        phone.until("it is in use") { phone.text(R.id.title) == "Answer" && phone.text(R.id.chosen) == "mine" }
        phone.type(R.id.passage, "The tower was finished in March 1889, and many people came. ".repeat(30))
        val before = app.runs.get()
        app.waitIn.set(before + 3)
        phone.type(R.id.question, "When was it finished?")
        phone.until("it reads") { app.runs.get() == before + 3 }
        phone.go(Phone.ENTITIES) // Which has no bundle, and asks for nothing.
        app.goOn.release()
        val done = Semaphore(0)
        app.worker.later { done.release() }
        done.acquire()
        phone.settle()
        assertEquals("no part of the text is read once its screen was left", before + 3, app.runs.get())
        phone.go(Phone.ANSWER)
        phone.until("it is read anew") { phone.text(R.id.result) != null }
    }

    @Test
    fun `an answer to another text does not stay`() {
        val phone = Phone()
        phone.type(R.id.text, "A wonderful film.")
        phone.until("a label is shown") { phone.text(R.id.result) == "positive" }
        val wait = Semaphore(0)
        phone.app.worker.later { wait.acquire() }
        phone.type(R.id.text, "A wonderful film? No, a waste of time.")
        assertEquals("positive", phone.text(R.id.result)) // For a moment, so that nothing flickers.
        shadowOf(Looper.getMainLooper()).idleFor(300, TimeUnit.MILLISECONDS)
        assertNull(phone.text(R.id.result))
        wait.release()
        phone.until("a label is shown") { phone.text(R.id.result) == "negative" }
    }

    @Test
    fun `a zip is added after it was checked`() {
        val phone = Phone()
        phone.add(zip(sentiment, "sentiment/"))
        phone.until("it is in use") { phone.text(R.id.chosen) == "mine" }
        val kept = File(phone.app.filesDir, "bundles/mine")
        Bundle.open(FolderFiles(kept)).close()
        phone.type(R.id.text, "A wonderful film.")
        phone.until("a label is shown") { phone.text(R.id.result) == "positive" }
        phone.go(Phone.BUNDLE)
        phone.until("everything is measured") { phone.rows(R.id.latency).isNotEmpty() }
    }

    @Test
    fun `two towers can be packed`() {
        val assets = Phone().activity.assets
        Export.open(AssetFiles(assets, "others/towers")).use { assertEquals(listOf("towers/image", "towers/text"), it.bundles.map(Bundle::name)) }
    }

    @Test
    fun `two zips opened at once are both kept`() {
        val phone = Phone()
        phone.add(zip(sentiment, ""), "first.zip")
        phone.add(zip(sentiment, ""), "second.zip")
        phone.until("the second is in use") { phone.text(R.id.chosen) == "second" }
        assertEquals(listOf("first", "second"), File(phone.app.filesDir, "bundles").list()!!.sorted())
    }

    @Test
    fun `a file that may not be read is a sentence`() {
        val phone = Phone()
        val uri = Uri.parse("content://files/secret.zip")
        shadowOf(phone.activity.contentResolver).registerInputStreamSupplier(uri) { throw SecurityException("no permission") }
        phone.activity.add(uri)
        phone.until("a sentence is shown") { phone.dialog() == "The file can’t be read any more: choose it anew." }
    }

    @Test
    fun `an added bundle can be removed`() {
        val phone = Phone()
        phone.add(zip(sentiment, ""))
        phone.until("it is in use") { phone.text(R.id.chosen) == "mine" }
        phone.go(Phone.BUNDLE)
        phone.find<View>(R.id.chosen).performClick()
        val choice = shadowOf(ShadowAlertDialog.getLatestDialog() as AlertDialog)
        choice.clickOnItem(choice.items.indexOf("mine"))
        phone.until("everything is measured") { phone.rows(R.id.latency).isNotEmpty() }
        phone.find<View>(R.id.remove).performClick()
        phone.settle()
        (ShadowAlertDialog.getLatestDialog() as AlertDialog).getButton(AlertDialog.BUTTON_POSITIVE).performClick()
        phone.until("another is in use") { phone.text(R.id.chosen) != "mine" }
        assertEquals(emptyList<String>(), File(phone.app.filesDir, "bundles").list().orEmpty().toList())
    }

    @Test
    fun `the nearest texts are found`() {
        val phone = Phone()
        phone.add(zip(small("embedder"), ""))
        phone.until("it is in use") { phone.text(R.id.title) == "Search" && phone.text(R.id.chosen) == "mine" }
        phone.type(R.id.query, "Do you ship to Norway?")
        phone.until("texts are found") { phone.rows(R.id.bars).isNotEmpty() }
        assertEquals("Do you ship to Norway?, similarity 1.00", phone.rows(R.id.bars)[0].contentDescription)
        assertEquals("Nearest: Do you ship to Norway?", phone.find<View>(R.id.heading).contentDescription)
        phone.type(R.id.list, "Only this one")
        phone.until("the list is read anew") { phone.rows(R.id.bars).size == 1 }
    }

    @Test
    fun `entities are marked and listed`() {
        val phone = Phone()
        phone.add(zip(small("entities"), ""))
        phone.until("it is in use") { phone.text(R.id.title) == "Entities" && phone.text(R.id.chosen) == "mine" }
        val text = "Angela Merkel met Tim Cook in New York \uD83D\uDE00, N.Y., last week."
        phone.type(R.id.sentence, text)
        phone.until("entities are found") { phone.rows(R.id.bars).isNotEmpty() }
        val marked = phone.find<TextView>(R.id.marked).text as Spanned
        val spans = marked.getSpans(0, marked.length, BackgroundColorSpan::class.java).sortedBy(marked::getSpanStart)
        val rows = phone.rows(R.id.bars).map { it.findViewById<TextView>(R.id.label)!!.text.toString() }
        assertEquals(listOf("Angela Merkel", "Tim Cook", "New York", "N.Y."), rows)
        assertEquals(rows, spans.map { marked.substring(marked.getSpanStart(it), marked.getSpanEnd(it)) })
        assertEquals("${rows.size} found", phone.text(R.id.heading))
        assertEquals("Found: ${rows.joinToString()}", phone.find<View>(R.id.heading).contentDescription)
        val legend = phone.find<FlowLayout>(R.id.legend)
        assertEquals(spans.map { it.backgroundColor }.distinct().size, legend.childCount)
        phone.picture("small-entities")
    }

    @Test
    fun `an answer is marked in a long text`() {
        val phone = Phone()
        phone.add(zip(small("questions"), ""))
        phone.until("it is in use") { phone.text(R.id.title) == "Answer" && phone.text(R.id.chosen) == "mine" }
        val text = "The tower was finished in March 1889, and many people came. ".repeat(30)
        phone.type(R.id.passage, text)
        phone.type(R.id.question, "When was it finished?")
        phone.until("an answer is given") { phone.text(R.id.result) != null }
        val result = phone.text(R.id.result)!!
        assertTrue(result in text)
        val marked = phone.find<TextView>(R.id.marked).text as Spanned
        val span = marked.getSpans(0, marked.length, BackgroundColorSpan::class.java).single()
        assertEquals(result, marked.substring(marked.getSpanStart(span), marked.getSpanEnd(span)))
        assertTrue(marked.length < text.length)
        phone.picture("small-answer")
        val lines = phone.find<TextView>(R.id.marked).layout
        val heights = (1 until lines.lineCount - 1).map { lines.getLineBottom(it) - lines.getLineTop(it) }
        assertEquals("every line is as high as the others", 1, heights.distinct().size)
        phone.type(R.id.question, "")
        assertNull(phone.text(R.id.result))
    }

    @Test
    @Config(application = SlowApp::class)
    fun `writing stops where it is asked to, and turning the screen keeps what was written`() {
        val phone = Phone()
        val app = phone.app as SlowApp
        phone.add(zip(small("writer_fixed"), ""))
        phone.until("it is in use") { phone.text(R.id.title) == "Write" && phone.text(R.id.chosen) == "mine" }
        phone.type(R.id.prompt, "Who met Tim")
        phone.write()
        val whole = phone.text(R.id.written)!!
        assertEquals("There is no room for more.", phone.text(R.id.state))
        assertTrue(phone.find<View>(R.id.state).contentDescription.endsWith(whole.removePrefix("Who met Tim")))

        fun begun(stop: () -> Unit) {
            val run = app.runs.get() + 40
            app.waitIn.set(run)
            phone.find<View>(R.id.go).performClick()
            phone.until("it writes") { app.runs.get() == run }
            assertEquals(listOf("Stop", "Writing …"), listOf(phone.text(R.id.go), phone.text(R.id.state)))
            stop()
            app.goOn.release()
            phone.settle()
            assertEquals(listOf("Write", "Stopped."), listOf(phone.text(R.id.go), phone.text(R.id.state)))
        }
        begun { phone.find<View>(R.id.go).performClick() }
        val part = phone.text(R.id.written)!!
        assertTrue("$part begins $whole", whole.startsWith(part) && part.length in "Who met Tim".length + 1 until whole.length)
        val figures = phone.text(R.id.note)
        RuntimeEnvironment.setQualifiers("+land")
        phone.controller.recreate()
        phone.until("it is back") { phone.text(R.id.written) == part }
        assertEquals(listOf("Who met Tim", "Stopped.", figures), listOf(phone.text(R.id.prompt), phone.text(R.id.state), phone.text(R.id.note)))
        phone.write()
        assertEquals(whole, phone.text(R.id.written))
        begun {
            phone.go(Phone.CLASSIFY)
            phone.go(Phone.WRITE)
        }
    }

    @Test
    fun `a prompt that can't be written on from is a sentence`() {
        val phone = Phone()
        phone.add(zip(small("writer"), ""))
        phone.until("it is in use") { phone.text(R.id.title) == "Write" && phone.text(R.id.chosen) == "mine" }
        for ((prompt, words) in listOf("a".repeat(200) to "mine has a cache of 96: shorten", "" to "no token that the model could read")) {
            phone.type(R.id.prompt, prompt)
            phone.write()
            assertTrue(phone.text(R.id.problem)!!, words in phone.text(R.id.problem)!!)
            assertEquals(listOf(null, null), listOf(phone.text(R.id.written), phone.text(R.id.state)))
        }
        phone.type(R.id.prompt, "A")
        phone.write()
        assertEquals(listOf(null, "The model ended the text."), listOf(phone.text(R.id.problem), phone.text(R.id.state)))
    }

    @Test
    fun `a language and beams are chosen, kept when the screen turns, and what can't be read is a sentence`() {
        val phone = Phone()
        phone.add(zip(small("translator"), ""))
        phone.until("it is in use") { phone.text(R.id.title) == "Rewrite" && phone.text(R.id.chosen) == "mine" }
        phone.find<View>(R.id.language).performClick()
        val list = (ShadowAlertDialog.getLatestDialog() as AlertDialog).listView
        assertEquals(listOf("English", "German", "French"), (0 until list.count).map { list.adapter.getItem(it) })
        shadowOf(list).performItemClick(2)
        phone.find<View>(R.id.beams).performClick()
        phone.type(R.id.prompt, "A caf")
        phone.write()
        val written = phone.text(R.id.written)
        assertNotNull(written)
        RuntimeEnvironment.setQualifiers("+land")
        phone.controller.recreate()
        phone.until("it is back") { phone.text(R.id.written) == written }
        assertEquals(listOf("Into French", "Best of 4 beams"), listOf(phone.text(R.id.language), phone.text(R.id.beams)))
        for ((text, words) in listOf("word ".repeat(99) to "expected 1 to 64, the places that the encoder has: shorten it", "" to "no token that the model could read")) {
            phone.type(R.id.prompt, text)
            phone.write()
            assertTrue(phone.text(R.id.problem)!!, words in phone.text(R.id.problem)!!)
            assertNull(phone.text(R.id.written))
        }
    }

    @Test
    fun `a picture stays when the screen turns, and what is none is a sentence`() {
        val phone = Phone()
        phone.add(zip(small("digits"), ""))
        phone.until("it is in use") { phone.text(R.id.title) == "Picture" && phone.text(R.id.chosen) == "mine" }
        phone.answer(R.id.choose, given("four.png"), "four.png")
        phone.until("a label is shown") { phone.text(R.id.result) == "4" }
        RuntimeEnvironment.setQualifiers("+land")
        phone.controller.recreate()
        phone.until("the label is back") { phone.text(R.id.result) == "4" }
        assertEquals(View.VISIBLE, phone.find<View>(R.id.seen).visibility)

        val bomb = given("four.png").also { for (place in listOf(17, 21)) it[place] = 1 } // 65564 x 65564, by its head.
        val cut = given("seven_large.jpg").copyOf(20_000)
        for ((name, bytes, words) in listOf(
            Triple("empty.png", ByteArray(0), "empty.png is empty; expected a picture."),
            Triple("note.png", "no picture".toByteArray(), "note.png is no picture of a format that is known"),
            Triple("bomb.png", checked(bomb), "bomb.png has more than 134,217,728 pixels"),
            Triple("cut.jpg", cut, "cut.jpg can't be read whole"),
            Triple("cut.png", given("whole.png").copyOf(90_000), "cut.png can't be read whole"),
        )) {
            phone.answer(R.id.choose, bytes, name)
            phone.until("a sentence is shown for $name") { phone.text(R.id.problem)?.startsWith(words) == true }
            assertNull(phone.text(R.id.result))
        }
        phone.picture("picture-problem")
    }

    /** A bundle of digits that says of itself that it was made for a GPU, in use on its page. */
    private fun phoneWithGpuBundle() = Phone().apply {
        val text = File(small("digits"), "kzoo.json").readText()
        val seal = Regex("\"seal\": \"(.*)\"").find(text)!!.groupValues[1]
        val more = " \"for\": \"gpu\",\n \"delegates\": {\"refused\": {}, \"older\": {\"CAST\": 2}},\n \"quantization\":"
        val bare = text.replace(seal, "0".repeat(64)).replace(" \"quantization\":", more)
        val digest = MessageDigest.getInstance("SHA-256").digest(bare.toByteArray()).joinToString("") { "%02x".format(it) }
        add(zip(small("digits"), "", mapOf("kzoo.json" to bare.replace("0".repeat(64), digest).toByteArray())))
        until("it is in use") { text(R.id.title) == "Picture" && text(R.id.chosen) == "mine" }
        go(Phone.BUNDLE)
        find<View>(R.id.chosen).performClick()
        val choice = shadowOf(ShadowAlertDialog.getLatestDialog() as AlertDialog)
        choice.clickOnItem(choice.items.indexOf("mine"))
    }

    private fun Phone.measured(): List<String> {
        until("everything is measured") { "All 12 pass on this device" == text(R.id.golden_state) && rows(R.id.latency).isNotEmpty() }
        return said()
    }

    @Test
    fun `a bundle that was made for a GPU says why the processor runs it`() {
        val phone = phoneWithGpuBundle()
        val said = phone.measured()
        val reason = if (phone.app.engines === Device) "The library of the GPU's delegate can't be loaded on this device." else "The desktop's engine has no GPU."
        assertTrue("$said", listOf("the processor", "Why not on the GPU", reason, "28 × 28 pixels").all(said::contains))
        phone.picture("bundle-gpu", 2600)
    }

    @Test
    @Config(application = GpuApp::class)
    fun `a GPU runs a bundle where its golden examples pass`() {
        val app = RuntimeEnvironment.getApplication() as GpuApp
        val (half, single) = Processor.GPU_FLOAT16 to Processor.GPU_FLOAT32
        app.off = mapOf(half to 0f, single to 0f)
        // As a driver leaves it that has ended the app.
        val trial = File(System.getProperty("java.io.tmpdir"), "trial-of-gpu").apply { mkdir() }
        val phone = phoneWithGpuBundle()
        assertTrue("The app ended while it tried this device's GPU: clear its cache to try again." in phone.measured())
        assertEquals(emptyList<Any>(), app.opened)
        assertTrue(trial.delete())
        val left = if (app.engines.runtime.name == "tflite") ", and the processor for 2 CAST" else ""
        for ((off, words, closed) in listOf(
            Triple(mapOf(half to 0f), "the GPU, with numbers of 16 bits$left", listOf(false)),
            Triple(mapOf(half to Float.NaN, single to 0f), "the GPU, with numbers of 32 bits$left", listOf(true, false)),
            Triple(mapOf(half to Float.NaN, single to 100f), "the processor", listOf(true, true)),
        )) {
            phone.measured()
            phone.app.worker.later {
                phone.app.tasks.closeAll()
                assertTrue(app.opened.all { it.closed })
                app.opened.clear()
                app.off = off
            }
            phone.find<View>(R.id.again).performClick()
            val said = phone.measured()
            assertTrue("$said", words in said)
            assertEquals("$words", closed, app.opened.map { it.closed })
            assertFalse(trial.exists())
            assertEquals(closed.all { it }, said.any { it.startsWith("The GPU fails 12 of 12 golden examples: logits off by ") })
        }
    }

    /** A PNG whose head has the checksum that its sizes ask for. */
    private fun checked(png: ByteArray): ByteArray {
        val sum = java.util.zip.CRC32().apply { update(png, 12, 17) }.value
        for (step in 0..3) png[29 + step] = (sum shr 24 - 8 * step).toByte()
        return png
    }

    @Test
    fun `the camera's app writes into a file of this one, and one that writes nothing is told of`() {
        val phone = Phone()
        phone.add(zip(small("digits"), ""))
        phone.until("it is in use") { phone.text(R.id.title) == "Picture" && phone.text(R.id.chosen) == "mine" }
        phone.find<View>(R.id.take).performClick()
        val asked = shadowOf(phone.activity).nextStartedActivityForResult
        @Suppress("DEPRECATION")
        val target = asked.intent.getParcelableExtra<Uri>(MediaStore.EXTRA_OUTPUT)!!
        assertTrue(asked.intent.flags and Intent.FLAG_GRANT_WRITE_URI_PERMISSION != 0)
        assertEquals(target, asked.intent.clipData!!.getItemAt(0).uri)
        phone.activity.contentResolver.openOutputStream(target)!!.use { it.write(given("seven.png")) }
        phone.activity.onActivityResult(asked.requestCode, Activity.RESULT_OK, null)
        phone.until("a label is shown") { phone.text(R.id.result) == "7" }
        // Whoever goes back after the camera wrote has not taken a picture, then or at the next time.
        phone.find<View>(R.id.take).performClick()
        phone.activity.contentResolver.openOutputStream(target)!!.use { it.write(given("four.png")) }
        phone.activity.onActivityResult(shadowOf(phone.activity).nextStartedActivityForResult.requestCode, Activity.RESULT_CANCELED, null)
        phone.find<View>(R.id.take).performClick()
        val again = shadowOf(phone.activity).nextStartedActivityForResult
        phone.activity.onActivityResult(again.requestCode, Activity.RESULT_OK, null)
        assertEquals("The camera gave no picture: take one again, or choose one.", phone.text(R.id.problem))
        assertEquals("7", phone.text(R.id.result))
    }

    @Test
    fun `pictures are found by words or by one of them, as Python finds them`() {
        val phone = Phone()
        phone.add(zip(small("towers"), "two/"))
        phone.until("it is in use") { phone.text(R.id.title) == "Photos" && phone.text(R.id.chosen) == "mine" }
        val written = Json.parse(File(small("towers").path + ".json").readText()) as Map<*, *>
        phone.choose((written["pictures"] as List<*>).map { it.toString().removePrefix("files/") })
        fun row(place: Int) = phone.rows(R.id.bars)[place].contentDescription.toString().replace(Regex(", [a-z ]+ · .*"), "")
        fun labels() = phone.rows(R.id.bars).map { it.findViewById<TextView>(R.id.named)!! }.filter { it.visibility == View.VISIBLE }.map { it.text.toString() }
        fun labelled(answers: Any?) = (answers as List<*>).map { it as Map<*, *> }.map { "${it["label"]} · ${"%.1f".format(100 * it["score"] as Double)}\u00A0%" }
        val asked = (written["asked"] as List<*>).map { it as Map<*, *> }
        for (one in asked.filter { it["templates"] == null }) { // The bundle's own, and others.
            phone.type(R.id.labels, (one["labels"] as List<*>?).orEmpty().joinToString("\n"))
            phone.until("labels are shown") { labels() == labelled(one["answers"]) }
        }
        phone.type(R.id.labels, "a\na")
        phone.until("a sentence is shown") { phone.text(R.id.problem) == "Got the labels a, a; expected each once." }
        phone.type(R.id.labels, "")
        for (search in written["searches"] as List<*>) {
            val query = (search as Map<*, *>)["query"].toString()
            if (query.isEmpty()) continue // Nothing is asked for.
            val found = (search["found"] as List<*>).map { it as Map<*, *> }.map { "${it["image"].toString().removePrefix("files/")}, similarity ${"%.2f".format(it["score"])}" }
            phone.type(R.id.words, query)
            phone.until("it is found for $query") { phone.rows(R.id.bars).size == 10 && row(0) == found[0] }
            assertEquals(found, found.indices.map(::row))
        }
        val sizes = phone.rows(R.id.bars).associate { it.contentDescription.toString().substringBefore(',') to (it.findViewById<ImageView>(R.id.seen)!!.drawable as BitmapDrawable).bitmap }
        assertEquals(250 to 200, sizes.getValue("held_sideways.jpg").run { width to height }) // Upright.
        assertEquals(256 to 300, sizes.getValue("whole.png").run { width to height }) // Of 512 x 600.
        val second = row(1).substringBefore(',')
        phone.rows(R.id.bars)[1].performClick()
        phone.until("it is the first") { row(0) == "$second, similarity 1.00" }
        assertNull(phone.text(R.id.words))
        assertEquals("10 pictures", phone.text(R.id.note))
        RuntimeEnvironment.setQualifiers("+land")
        phone.controller.recreate()
        phone.until("it is back") { phone.rows(R.id.bars).isNotEmpty() && row(0) == "$second, similarity 1.00" }
        phone.type(R.id.words, "dog ".repeat(99))
        phone.until("a sentence is shown") { phone.text(R.id.problem)?.contains("longer than the 24 tokens that are read") == true }
        assertEquals(0, phone.rows(R.id.bars).size)
        phone.type(R.id.words, "\u0001")
        phone.until("a sentence is shown") { phone.text(R.id.problem) == "This text holds nothing that the model reads." }

        phone.add(zip(small("pictures_grey"), ""), "one.zip") // Which reads no words.
        phone.until("it is in use") { phone.text(R.id.chosen) == "one" && phone.rows(R.id.bars).size == 10 }
        assertEquals(View.GONE, phone.find<View>(R.id.words).visibility)
        phone.rows(R.id.bars)[6].performClick()
        phone.until("it is the first") { row(0) == "transparent.png, similarity 1.00" && labels().isEmpty() }
        val vectors = File(small("pictures_grey").path + ".jsonl").readLines().map { Json.parse(it) as Map<*, *> }
            .associate { it["image"].toString().removePrefix("files/") to (it["embedding"] as List<*>).map { value -> (value as Double).toFloat() }.toFloatArray() }
        val near = phone.rows(R.id.bars).indices.associate { row(it).substringBefore(',') to row(it).substringAfterLast(' ') }
        for (name in listOf("whole.png", "line.png", "dot.png")) {
            assertEquals("%.2f".format(similarity(vectors.getValue("transparent.png"), vectors.getValue(name), Similarity.COSINE)), near.getValue(name))
        }
        phone.go(Phone.BUNDLE)
        phone.find<View>(R.id.chosen).performClick()
        val choice = shadowOf(ShadowAlertDialog.getLatestDialog() as AlertDialog)
        choice.clickOnItem(choice.items.indexOf("mine"))
        phone.until("both towers are measured") { phone.text(R.id.golden_state) == "All 24 pass on this device" && phone.rows(R.id.latency).isNotEmpty() }
        assertTrue("${phone.said()}", phone.said().containsAll(listOf("Image embedder", "Text embedder", "32 × 32 pixels", "up to 24 tokens")))
        phone.picture("bundle-towers", 3600)
    }

    @Test
    fun `of a folder the pictures in it are looked at, and what can't be read is told`() {
        val phone = Phone()
        val root = File(phone.app.cacheDir, "album").apply { mkdir() }
        for ((name, from) in listOf("b/seven.png" to "seven.png", "four.png" to "four.png", "b/c/logo.png" to "logo.png")) File(root, name).apply { parentFile!!.mkdirs() }.writeBytes(given(from))
        for (name in listOf("broken.png", ".thumbnails/hidden.png", "notes.txt")) File(root, name).apply { parentFile!!.mkdirs() }.writeText("none")
        Album.root = root
        Robolectric.buildContentProvider(Album::class.java).create("album")
        phone.add(zip(small("towers"), ""))
        phone.until("it is in use") { phone.text(R.id.title) == "Photos" && phone.text(R.id.chosen) == "mine" }
        fun choose(folder: String) {
            phone.find<View>(R.id.folder).performClick()
            val asked = shadowOf(phone.activity).nextStartedActivityForResult
            assertEquals(Intent.ACTION_OPEN_DOCUMENT_TREE, asked.intent.action)
            phone.activity.onActivityResult(asked.requestCode, Activity.RESULT_OK, Intent().setData(DocumentsContract.buildTreeDocumentUri("album", folder)))
            phone.settle()
        }
        choose(".")
        phone.until("its pictures are shown") { phone.rows(R.id.bars).isNotEmpty() }
        assertEquals(listOf("logo.png", "seven.png", "four.png"), phone.rows(R.id.bars).map { it.findViewById<TextView>(R.id.label)!!.text.toString() })
        assertTrue(phone.text(R.id.note)!!.endsWith("1 could not be read. broken.png is no picture of a format that is known; expected JPEG, PNG, WebP, GIF or BMP."))
        phone.type(R.id.words, "the digit seven")
        phone.until("it is found") { phone.rows(R.id.bars).isNotEmpty() && phone.rows(R.id.bars)[0].contentDescription.startsWith("seven.png, similarity 0.9") }
        choose("b/c")
        phone.until("another folder is looked at") { phone.rows(R.id.bars).size == 1 }
        File(root, "empty").mkdir()
        choose("empty")
        phone.until("a sentence is shown") { phone.text(R.id.problem) == "This folder holds no pictures: choose another." }
        choose("gone")
        phone.until("a sentence is shown") { phone.text(R.id.problem) == "The file can’t be read any more: choose it anew." }
    }

    @Test
    fun `the microphone is asked for at its use, and what it hears is labelled`() {
        val phone = soundPhone()
        shadowOf(phone.app).denyPermissions(LISTEN)
        phone.find<View>(R.id.record).performClick()
        val asked = shadowOf(phone.activity).lastRequestedPermission
        phone.activity.onRequestPermissionsResult(asked.requestCode, asked.requestedPermissions, intArrayOf(-1))
        assertEquals("Without the microphone nothing is heard: allow it in the settings, or choose a WAV file.", phone.text(R.id.problem))

        // A sound at the end of the second, by the file that Python has labelled; no more than a part is heard at a time.
        val words = File(small("words").path + ".jsonl").readLines().map { Json.parse(it) as Map<*, *> }
        hears(given("second.wav"))
        shadowOf(phone.app).grantPermissions(LISTEN)
        phone.activity.onRequestPermissionsResult(asked.requestCode, asked.requestedPermissions, intArrayOf(0))
        val expected = words.first { it["sound"] == "files/second.wav" }["scores"] as Map<*, *>
        phone.until("a label is shown") { phone.text(R.id.result) == expected.entries.maxByOrNull { it.value as Double }!!.key }
        assertNull(phone.text(R.id.problem))
        val best = "%.1f".format(100 * expected.values.maxOf { it as Double })
        assertTrue(phone.rows(R.id.bars)[0].contentDescription.endsWith("$best percent"))

        phone.find<View>(R.id.record).performClick() // Of which nothing is left.
        phone.until("a sentence is shown") { phone.text(R.id.problem)?.startsWith("The microphone can't be heard") == true }
        phone.answer(R.id.choose, given("long.wav"), "long.wav")
        phone.until("its beginning is read") { phone.text(R.id.note)?.endsWith("Only the first 1.0\u00A0s were read.") == true }
        phone.answer(R.id.choose, given("four.png"), "four.png")
        phone.until("a sentence is shown") { phone.text(R.id.problem)?.startsWith("four.png can't be read as sound") == true }
    }

    /** The microphone hears a WAV file of 16 bits, no more than a part at a time, and then nothing. */
    private fun hears(wav: ByteArray, before: () -> Unit = {}) {
        val samples = ByteBuffer.wrap(wav, 44, wav.size - 44).order(ByteOrder.LITTLE_ENDIAN).asShortBuffer()
        ShadowAudioRecord.setSourceProvider { _ ->
            object : ShadowAudioRecord.AudioRecordSource {
                override fun readInShortArray(target: ShortArray, offset: Int, size: Int, blocking: Boolean): Int {
                    before()
                    val count = minOf(size, 700, samples.remaining())
                    samples.get(target, offset, count)
                    return count
                }
            }
        }
    }

    private fun soundPhone() = Phone().apply {
        add(zip(small("words"), ""))
        until("it is in use") { text(R.id.title) == "Sound" && text(R.id.chosen) == "mine" }
    }

    @Test
    fun `whoever allows the microphone after the screen turned is heard, and whoever doesn't is told`() {
        val phone = soundPhone()
        hears(given("second.wav"))
        shadowOf(phone.app).denyPermissions(LISTEN)

        fun answered(granted: Int, shown: () -> Boolean) {
            phone.find<View>(R.id.record).performClick()
            val asked = shadowOf(phone.activity).lastRequestedPermission
            val listing = Semaphore(0) // The answer comes before it is looked up what bundles there are.
            phone.app.worker.later { listing.acquire() }
            RuntimeEnvironment.setQualifiers(if (granted == 0) "+port" else "+land")
            phone.controller.recreate()
            assertFalse(phone.activity.listed)
            if (granted == 0) shadowOf(phone.app).grantPermissions(LISTEN)
            phone.activity.onRequestPermissionsResult(asked.requestCode, asked.requestedPermissions, intArrayOf(granted))
            listing.release()
            phone.until("the bundles are listed") { phone.activity.listed }
            phone.until("the page answers $granted", shown)
        }
        answered(-1) { phone.text(R.id.problem)?.startsWith("Without the microphone") == true }
        answered(0) { phone.text(R.id.result) != null }
    }

    @Test
    fun `what is said of a recording stays while it lasts, and another page ends it`() {
        val phone = soundPhone()
        val (reads, goOn) = AtomicInteger() to Semaphore(0)
        hears(given("second.wav")) {
            reads.incrementAndGet()
            goOn.acquire()
        }
        shadowOf(phone.app).grantPermissions(LISTEN)
        phone.find<View>(R.id.record).performClick()
        phone.until("it listens") { reads.get() == 1 }
        shadowOf(Looper.getMainLooper()).idleFor(1, TimeUnit.SECONDS)
        assertEquals("Speak now …", phone.text(R.id.note))
        assertEquals(View.VISIBLE, phone.find<View>(R.id.meter).visibility)
        assertFalse(phone.find<View>(R.id.record).isEnabled)

        phone.go(Phone.CLASSIFY)
        phone.go(Phone.SOUND)
        goOn.release(1000)
        val idle = Semaphore(0)
        phone.app.worker.later { idle.release() }
        assertTrue(idle.tryAcquire(60, TimeUnit.SECONDS))
        phone.settle()
        assertEquals(1, reads.get())
        assertEquals(listOf("What is heard appears here.", null), listOf(phone.text(R.id.note), phone.text(R.id.result)))
        assertEquals(View.GONE, phone.find<View>(R.id.meter).visibility)
        assertTrue(phone.find<View>(R.id.record).isEnabled)
    }

    @Test
    fun `a zip that is no bundle is a sentence and leaves nothing`() {
        val phone = Phone()
        val changed = zip(sentiment, "", mapOf("labels.txt" to "positive\nnegative\n".toByteArray()))
        val outside = zip(sentiment, "b/", mapOf("../../x" to ByteArray(3)))
        for ((bytes, part) in listOf(changed to "labels.txt was changed", outside to "outside of the bundle", ByteArray(0) to "is no zip")) {
            phone.add(bytes)
            phone.until("a sentence is shown") { phone.dialog()?.contains(part) == true }
            assertEquals(emptyList<String>(), File(phone.app.filesDir, "bundles").list().orEmpty().toList())
            assertEquals(emptyList<String>(), phone.app.cacheDir.list().orEmpty().filter { it.endsWith(".zip") })
        }
    }

    @Test
    fun `a bundle that was damaged later is a sentence and no label`() {
        val phone = Phone()
        phone.add(zip(sentiment, ""))
        phone.until("it is in use") { phone.text(R.id.chosen) == "mine" }
        val model = File(phone.app.filesDir, "bundles/mine/model.tflite")
        model.writeBytes(model.readBytes().also { it[it.size / 2] = (it[it.size / 2] + 1).toByte() })
        phone.app.worker.later { phone.app.tasks.closeAll() }
        phone.type(R.id.text, "A wonderful film.")
        phone.until("a sentence is shown") { phone.text(R.id.problem) != null }
        assertTrue(phone.text(R.id.problem)!!.startsWith("mine/model.tflite was changed after the export"))
        assertNull(phone.text(R.id.result))
        phone.picture("damaged")
    }

    @Test
    @Config(application = SmallApp::class)
    fun `no memory is a sentence`() {
        val phone = Phone()
        phone.type(R.id.text, "A wonderful film.")
        phone.until("a sentence is shown") { phone.text(R.id.problem) != null }
        assertEquals("Not enough memory for this: close other apps, or give it less.", phone.text(R.id.problem))
        assertNull(phone.text(R.id.result))
    }

    @Test
    fun `large text fits`() {
        RuntimeEnvironment.setFontScale(2f)
        val phone = Phone()
        phone.type(R.id.text, "The plot is thin, but I would watch this wonderful cast in anything.")
        phone.until("a label is shown") { phone.text(R.id.result) == "positive" }
        phone.picture("large")
        for (view in phone.views().filterIsInstance<TextView>()) {
            val layout = view.layout ?: continue
            if (view is EditText || layout.lineCount == 0) continue
            assertEquals("${view.text} is cut", 0, layout.getEllipsisCount(layout.lineCount - 1))
        }
        RuntimeEnvironment.setFontScale(1f)
    }

    @Test
    fun `a screen reader has words for all that can be pressed, and fingers room`() {
        val phone = Phone()
        val density = phone.activity.resources.displayMetrics.density
        for (tab in 0..Phone.BUNDLE) {
            phone.go(tab)
            phone.picture("tab")
            for (view in phone.views().filter { it.isClickable && it.isShown }) {
                val words = view.contentDescription ?: (view as? TextView)?.run { text.ifEmpty { hint } }
                assertTrue("$view has no words", !words.isNullOrEmpty())
                assertTrue("$words is ${view.height / density} dp high", view.height >= 48 * density)
            }
        }
        val spoken = mapOf(
            Phone.CLASSIFY to listOf(R.id.result, R.id.problem),
            Phone.SEARCH to listOf(R.id.heading, R.id.problem),
            Phone.ENTITIES to listOf(R.id.heading, R.id.problem),
            Phone.ANSWER to listOf(R.id.result, R.id.problem),
            Phone.WRITE to listOf(R.id.state, R.id.problem),
            Phone.PICTURE to listOf(R.id.result, R.id.problem),
            Phone.PHOTOS to listOf(R.id.heading, R.id.problem),
            Phone.SOUND to listOf(R.id.result, R.id.note, R.id.problem),
            Phone.BUNDLE to listOf(R.id.golden_state, R.id.problem),
        )
        for ((tab, views) in spoken) {
            phone.go(tab)
            for (view in views) assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, phone.find<View>(view).accessibilityLiveRegion)
        }
    }

    @Test
    @Config(sdk = [35])
    fun `nothing lies under the system's bars`() {
        val phone = Phone()
        val insets = WindowInsets.Builder()
            .setInsets(WindowInsets.Type.statusBars(), android.graphics.Insets.of(0, 48, 0, 0))
            .setInsets(WindowInsets.Type.navigationBars(), android.graphics.Insets.of(0, 0, 0, 96))
            .build()
        val root = phone.activity.findViewById<View>(R.id.root)
        root.dispatchApplyWindowInsets(insets)
        phone.picture("bars")
        val place = Rect()
        phone.activity.findViewById<View>(R.id.title).getGlobalVisibleRect(place)
        assertTrue("$place", place.top >= 48)
        val tabs = phone.activity.findViewById<View>(R.id.tabs)
        assertEquals(96, tabs.paddingBottom)
        assertTrue(Build.VERSION.SDK_INT >= 35)
    }

    private companion object {
        const val LISTEN = android.Manifest.permission.RECORD_AUDIO
    }
}
