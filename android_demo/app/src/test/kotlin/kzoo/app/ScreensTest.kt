package kzoo.app

import android.text.Spanned
import android.text.style.BackgroundColorSpan
import android.view.View
import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.ParameterizedRobolectricTestRunner
import org.robolectric.ParameterizedRobolectricTestRunner.Parameters
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Every screen answers with real bundles, in light and in dark, on the oldest and the newest API. */
@RunWith(ParameterizedRobolectricTestRunner::class)
@Config(sdk = [26, 35], application = TestApp::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ScreensTest(private val mode: String) {
    private val phone by lazy { Phone(mode == "dark") }

    @Test
    fun classify() {
        assertNull(phone.text(R.id.result))
        phone.type(R.id.text, "The plot is thin, but I would watch this wonderful cast in anything.")
        phone.until("a label is shown") { phone.text(R.id.result) == "positive" }
        assertEquals(2, phone.rows(R.id.bars).size)
        assertTrue(phone.rows(R.id.bars)[0].contentDescription.startsWith("positive, 9"))
        assertTrue("tokens" in phone.text(R.id.note)!!)
        phone.picture("classify-$mode")
    }

    @Test
    fun search() {
        val trained = go(Phone.SEARCH, "search", "embedder")
        phone.type(R.id.query, "I forgot my login")
        phone.until("texts are found") { phone.rows(R.id.bars).isNotEmpty() }
        if (trained) assertTrue(phone.rows(R.id.bars)[0].contentDescription.startsWith("How do I reset my password?"))
        phone.picture("search-$mode")
    }

    @Test
    fun entities() {
        val trained = go(Phone.ENTITIES, "entities", "entities")
        val text = if (trained) "Justin Bieber is going to London with Anna next week." else "Angela Merkel met Tim Cook in New York \uD83D\uDE00, N.Y., last week."
        phone.type(R.id.sentence, text)
        phone.until("entities are found") { phone.rows(R.id.bars).isNotEmpty() }
        val marked = phone.find<TextView>(R.id.marked).text as Spanned
        val spans = marked.getSpans(0, marked.length, BackgroundColorSpan::class.java)
        assertEquals(phone.rows(R.id.bars).size, spans.size)
        val place = if (trained) "London" else "New York"
        assertTrue(spans.any { marked.substring(marked.getSpanStart(it), marked.getSpanEnd(it)) == place })
        phone.picture("entities-$mode")
    }

    @Test
    fun answer() {
        go(Phone.ANSWER, "questions", "questions")
        phone.type(R.id.passage, PARAGRAPH)
        phone.type(R.id.question, "When was the tower finished?")
        phone.until("an answer is given") { phone.text(R.id.result) != null }
        val result = phone.text(R.id.result)!!
        assertEquals("March 1889", result)
        val marked = phone.find<TextView>(R.id.marked).text as Spanned
        val span = marked.getSpans(0, marked.length, BackgroundColorSpan::class.java).single()
        assertEquals(result, marked.substring(marked.getSpanStart(span), marked.getSpanEnd(span)))
        phone.picture("answer-$mode")
    }

    @Test
    fun write() {
        val trained = go(Phone.WRITE, "write", "writer")
        phone.type(R.id.prompt, if (trained) "ROMEO:" else "A café in")
        phone.write()
        if (!trained) {
            assertEquals("A café in naïve 日本語 has \uD83D\uDE00 and \uD83D\uDC4D\uD83C\uDFFD on its door.", phone.text(R.id.written))
            assertEquals("The model ended the text.", phone.text(R.id.state))
        }
        assertTrue(Regex("[0-9]+ tokens · the first after [0-9.]+.ms · [0-9.,]+ a second here").matches(phone.text(R.id.note)!!))
        phone.picture("write-$mode")
    }

    @Test
    fun rewrite() {
        go(Phone.REWRITE, "rewrite", "translator_behind")
        phone.type(R.id.prompt, "Who met Tim in New York? Angela, in the café.")
        assertEquals(listOf("Into German", "Likeliest word each time"), listOf(phone.text(R.id.language), phone.text(R.id.beams)))
        phone.write()
        assertEquals(GERMAN, phone.text(R.id.written))
        assertEquals("The model ended the text.", phone.text(R.id.state))
        phone.find<View>(R.id.beams).performClick()
        assertEquals("Best of 4 beams", phone.text(R.id.beams))
        phone.write()
        assertEquals(GERMAN, phone.text(R.id.written))
        assertTrue(Regex("[0-9]+ tokens · the first after [0-9.]+.ms · [0-9.,]+ a second here").matches(phone.text(R.id.note)!!))
        phone.picture("rewrite-$mode")
    }

    @Test
    fun picture() {
        go(Phone.PICTURE, "digits", "digits")
        phone.answer(R.id.choose, given("seven_large.jpg"), "seven.jpg")
        phone.until("a label is shown") { phone.text(R.id.result) == "7" }
        assertTrue(phone.rows(R.id.bars)[0].contentDescription.startsWith("7, 9"))
        assertTrue(Regex("and 2 more\\n28 × 28 pixels · [0-9.]+.ms here").matches(phone.text(R.id.note)!!))
        phone.picture("picture-$mode")
    }

    @Test
    fun photos() {
        go(Phone.PHOTOS, "photos", "towers")
        phone.choose(PHOTOS)
        phone.until("the pictures are shown") { phone.rows(R.id.bars).size == PHOTOS.size }
        assertEquals("6 pictures", phone.text(R.id.heading))
        phone.picture("photos-chosen-$mode")
        phone.type(R.id.words, "a blue present")
        phone.until("the present is found") { phone.rows(R.id.bars)[0].contentDescription.startsWith("present.png, similarity 0.") }
        assertTrue(Regex("[0-9]+ tokens · [0-9.]+.ms here").matches(phone.text(R.id.note)!!))
        phone.picture("photos-$mode")
    }

    @Test
    fun sound() {
        go(Phone.SOUND, "words", "words")
        phone.answer(R.id.choose, given("short.wav"), "short.wav")
        phone.until("a label is shown") { phone.text(R.id.result) == "yes" }
        assertTrue(Regex("and 4 more\\n0.3.s · [0-9.]+.ms here").matches(phone.text(R.id.note)!!))
        phone.picture("sound-$mode")
    }

    @Test
    fun bundle() {
        phone.go(Phone.BUNDLE)
        phone.until("everything is measured") { phone.rows(R.id.latency).isNotEmpty() }
        val golden = phone.rows(R.id.golden)
        assertEquals("All ${golden.size} pass on this device", phone.text(R.id.golden_state))
        assertTrue(golden.size >= 12 && golden.all { it.contentDescription.startsWith("Passed. ") })
        assertTrue("Right on sentiment.tsv" in phone.said())
        phone.picture("bundle-$mode")
        phone.picture("bundle-whole-$mode", 2600)
    }

    /**
     * Shows a screen, and says whether a bundle that was trained for it is packed. Where none is, the
     * screen says what to do, and gets the small bundle of that name.
     */
    private fun go(tab: Int, name: String, small: String): Boolean {
        phone.go(tab)
        if (phone.activity.assets.list("bundles/$name").orEmpty().isNotEmpty()) return true
        assertTrue(phone.text(R.id.problem)!!.startsWith("No bundle for this is in the app yet."))
        phone.picture("$name-none-$mode")
        phone.add(zip(small(small), ""))
        phone.until("it is in use") { phone.text(R.id.chosen) == "mine" }
        return false
    }

    companion object {
        @JvmStatic
        @Parameters(name = "{0}")
        fun modes() = listOf(arrayOf("light"), arrayOf("dark"))

        val PHOTOS = listOf("whole.png", "present.png", "logo.png", "four.png", "seven.png", "held_sideways.jpg")

        const val GERMAN = "Wer hat Tim in New York getroffen? Angela, im Café."

        const val PARAGRAPH = "The Eiffel Tower is a lattice tower on the Champ de Mars in Paris. It is named after the engineer " +
            "Gustave Eiffel, whose company designed and built the tower from 1887 to 1889. It was finished in March 1889 as the " +
            "centrepiece of the World's Fair, and it stayed the tallest structure in the world for 41 years, until the Chrysler " +
            "Building in New York City was completed in 1930. About seven million people visit it every year."
    }
}
