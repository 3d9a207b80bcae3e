package kzoo.web

import kzoo.core.KzooException
import kzoo.core.json.Json
import kzoo.core.bundle.Answers
import kzoo.core.bundle.TaskOptions
import kzoo.core.task.Answer
import kzoo.core.task.Classification
import kzoo.core.task.Embedding
import kzoo.core.task.Entities
import kzoo.core.task.Found
import kzoo.core.task.LateInteraction
import kzoo.core.task.Reading
import kzoo.core.task.RowMaker
import kzoo.core.task.Rows
import kzoo.core.task.TokenVectors
import kzoo.core.task.Windows
import kzoo.core.task.kindsOf
import org.teavm.jso.JSByRef
import org.teavm.jso.JSExport
import org.teavm.jso.JSObject
import org.teavm.jso.JSProperty

/**
 * A task of texts without an engine, for a browser's gives its outputs later: a text becomes rows, JavaScript
 * runs the model on each, and what comes out becomes the answer.
 */
class Reader internal constructor(
    private val labels: List<String>?,
    options: TaskOptions,
    private val rows: RowMaker,
) : Judge(options) {
    private val answers = options.answers!! // Web.kt's `kind` has refused others.

    init {
        if (labels == null && answers in LABELLED) throw KzooException("The bundle has no labels, and its task needs some: export anew.")
    }

    /** What an input is: "text", "pair", "either" or "marked". */
    @get:JSExport
    @get:JSProperty
    val reads: String get() = options.reads.name.lowercase()

    /** What entities can be called, in the order of the labels. */
    @get:JSExport
    @get:JSProperty
    val kinds: Array<String> get() = kindsOf(labels.orEmpty()).toTypedArray()

    /** The rows of a text, or of a pair: one, or one for each window over a text to search. */
    @JSExport
    fun read(text: String, pair: String?): Asked {
        options.check("The bundle", pair != null)
        return Asked(this, text, pair, when (answers) {
            Answers.SPAN -> rows.windows(text, pair!!)
            Answers.ENTITIES -> rows.windows(text)
            Answers.EMBEDDING -> rows.row(options.prompt + text, pair)
            Answers.LATE_INTERACTION -> rows.marked(listOfNotNull(text, pair), options.readings)
            else -> rows.row(text, pair)
        })
    }

    /** The one row that a golden example was written with; `reading` names how it was read, where there are several ways. */
    @JSExport
    fun row(text: String, pair: String?, reading: String?) = Asked(
        this, text, pair,
        if (options.readings.isEmpty()) rows.row(text, pair) else rows.marked(text, LateInteraction.reading(reading, options.readings)),
    )

    internal fun answer(asked: Asked): Map<String, Any?> {
        val (text, pair) = asked.text to asked.pair
        return when (answers) {
            Answers.LABELS ->
                Classification.of(asked.output(0, "logits", labels!!.size), labels, options, Reading(asked.rows)).json(text, pair)
            Answers.EMBEDDING -> Embedding(asked.output(0, "embedding", null), Reading(asked.rows)).json(text, pair)
            Answers.ENTITIES -> {
                val logits = asked.rows.rows.mapIndexed { place, row -> asked.output(place, "logits", row.tokenIds.size * labels!!.size) }
                Entities.of(text, logits, labels!!, asked.rows as Windows).json(text)
            }
            Answers.SPAN -> {
                val found = asked.rows.rows.mapIndexed { place, row ->
                    val length = row.tokenIds.size
                    Found(asked.output(place, "start_logits", length), asked.output(place, "end_logits", length), row)
                }
                Answer.of(pair!!, found, options.noAnswer, asked.rows).json(text, pair)
            }
            Answers.LATE_INTERACTION -> {
                val found = asked.rows.rows.indices.map { asked.output(it, "vectors", null) }
                TokenVectors.of(asked.rows, found).json(text, pair)
            }
            Answers.CONTINUATION, Answers.REWRITING -> throw IllegalStateException("WebWriter and WebRewriter write.")
        }
    }

    private companion object {
        val LABELLED = listOf(Answers.LABELS, Answers.ENTITIES)
    }
}

/** A text on its way: its rows, and what the model gave for each. */
class Asked internal constructor(private val reader: Reader, val text: String, val pair: String?, val rows: Rows) {
    private val outputs = List(rows.rows.size) { Outputs() }

    @get:JSExport
    @get:JSProperty
    val count: Int get() = rows.rows.size

    /** Whether nothing of the text reaches the model. */
    @get:JSExport
    @get:JSProperty
    val isEmpty: Boolean get() = rows.empty

    @JSExport
    fun input(row: Int, name: String): IntArray = rows.rows[row].inputs.getValue(name)

    @JSExport
    fun give(row: Int, name: String, @JSByRef values: FloatArray) = outputs[row].give(name, values)

    private val answer by lazy { reader.answer(this) }

    /** The answer as `kzoo predict --json` has it, once every row got its outputs. */
    @JSExport
    fun json(): String = Json.write(answer)

    /** The same as JavaScript's own values, see `answered`. */
    @JSExport
    fun answer(): JSObject? = answered(answer)

    internal fun output(row: Int, name: String, size: Int?): FloatArray = outputs[row].of(name, size)
}
