package kzoo.core.task

import java.util.concurrent.CancellationException
import kzoo.core.KzooException
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Column
import kzoo.core.bundle.Engine
import kzoo.core.bundle.Ids
import kzoo.core.bundle.Place
import kzoo.core.bundle.Sense
import kzoo.core.bundle.Tensor
import kzoo.core.bundle.TextGolden
import kzoo.core.image.PictureDecoder

/**
 * How much of a text was read: `tokens`, special ones among them, and whether a part of it was too
 * much. `empty` says that there was nothing to read, so that an answer means nothing.
 */
class Reading(val tokens: Int, val truncated: Boolean, val empty: Boolean) {
    constructor(rows: Rows) : this(rows.tokens, rows.truncated, rows.empty)

    /** What every answer says of its text, as an object for JSON. */
    internal fun json(text: String, pair: String?): Map<String, Any?> = linkedMapOf(
        "text" to if (pair == null) text else listOf(text, pair),
        "tokens" to tokens,
        "truncated" to truncated,
    )

    companion object {
        /** Of what is no text, which is always read as a whole. */
        val NONE = Reading(0, truncated = false, empty = false)
    }
}

/**
 * A bundle and the engine that runs its model, ready to answer. Several threads may ask; they take
 * turns. `close` closes both.
 *
 * `cancelled` is asked before every run of the model; CancellationException where it says so.
 * KzooException, one sentence, where the model does not fit its bundle or can't answer.
 */
sealed class Task(val bundle: Bundle, protected val engine: Engine) : Opened {
    override val tasks get() = listOf(this)
    protected val options = bundle.manifest.options
    private val turn = Any()

    /** Where the model runs. */
    val place: Place get() = engine.place
    private var closed = false

    /** What runs the model, alone; CancellationException where the task is closed. */
    protected fun <T> inTurn(run: () -> T): T = synchronized(turn) {
        if (closed) throw CancellationException()
        run()
    }

    /** The outputs by name for what a model of one function reads, each checked to hold numbers. */
    protected fun run(columns: Map<String, Column>, cancelled: () -> Boolean): Map<String, Tensor> = inTurn {
        if (cancelled()) throw CancellationException()
        val outputs = engine.run(columns)
        for ((name, tensor) in outputs) {
            if (tensor.values.any { it.isNaN() || it.isInfinite() }) {
                throw KzooException("The model of ${bundle.name} gives $name that is no number: export anew.")
            }
        }
        outputs
    }

    protected fun output(outputs: Map<String, Tensor>, name: String, vararg shape: Int): FloatArray {
        val tensor = outputs[name] ?: throw KzooException(
            "The model of ${bundle.name} gives ${outputs.keys.sorted().joinToString()}, not $name: export anew.",
        )
        val fits = tensor.shape.size == shape.size && shape.indices.all { shape[it] < 0 || shape[it] == tensor.shape[it] }
        if (!fits) {
            throw KzooException(
                "The model of ${bundle.name} gives $name of the shape ${tensor.shape.joinToString(" x ")}; " +
                    "${shape.joinToString(" x ") { if (it < 0) "any" else it.toString() }} was expected: export anew.",
            )
        }
        return tensor.values
    }

    protected fun needLabels(): List<String> = bundle.manifest.labels
        ?: throw KzooException("${bundle.name} has no labels, and its task needs some: export anew.")

    /** Numbers of tokens that the model is timed on; of one size alone where it reads no tokens. */
    internal abstract val lengths: List<Int>

    /** Runs the model on so many tokens, whichever they are. */
    internal abstract fun runOn(tokens: Int, cancelled: () -> Boolean)

    override fun close() = synchronized(turn) {
        if (!closed) {
            closed = true
            engine.close()
            bundle.close()
        }
    }

    companion object {
        /** What makes a task, by what it reads and what it answers with. */
        private val MAKERS: Map<Pair<Sense, Answers>, (Bundle, Engine, PictureDecoder) -> Task> = mapOf(
            Pair(Sense.TEXT, Answers.LABELS) to { bundle, engine, _ -> TextClassifier(bundle, engine) },
            Pair(Sense.TEXT, Answers.EMBEDDING) to { bundle, engine, _ -> TextEmbedder(bundle, engine) },
            Pair(Sense.TEXT, Answers.ENTITIES) to { bundle, engine, _ -> TokenClassifier(bundle, engine) },
            Pair(Sense.TEXT, Answers.SPAN) to { bundle, engine, _ -> QuestionAnswerer(bundle, engine) },
            Pair(Sense.TEXT, Answers.LATE_INTERACTION) to { bundle, engine, _ -> LateInteraction(bundle, engine) },
            Pair(Sense.TEXT, Answers.CONTINUATION) to { bundle, engine, _ -> TextWriter(bundle, engine) },
            Pair(Sense.TEXT, Answers.REWRITING) to { bundle, engine, _ -> TextRewriter(bundle, engine) },
            Pair(Sense.IMAGE, Answers.LABELS) to ::ImageClassifier,
            Pair(Sense.IMAGE, Answers.EMBEDDING) to ::ImageEmbedder,
            Pair(Sense.SOUND, Answers.LABELS) to { bundle, engine, _ -> AudioClassifier(bundle, engine) },
        )

        /** The task that a bundle was made for; `decoder` makes pictures of files, where it is one of pictures. */
        fun of(bundle: Bundle, engine: Engine, decoder: PictureDecoder = PictureDecoder.NONE): Task {
            val options = bundle.manifest.options
            val make = options.answers?.let { MAKERS[Pair(options.reads.sense, it)] } ?: throw KzooException(
                "${bundle.name} holds a ${bundle.manifest.task}; this program answers with labels, vectors, entities, " +
                    "spans and text: take the program that reads it.",
            )
            return make(bundle, engine, decoder)
        }
    }
}

/** A task that reads texts. */
sealed class TextTask(bundle: Bundle, engine: Engine) : Task(bundle, engine) {
    protected val rows = with(bundle.manifest) { RowMaker(bundle.tokenizer, maxLength, length, options.stride) }

    /** What answers this task, as an object for JSON; places are counted in code points. */
    abstract fun json(text: String, pair: String?): Map<String, Any?>

    /** KzooException unless one text, or a pair, is what this task reads. */
    protected fun check(pair: String?) = options.check(bundle.name, pair != null)

    internal override val lengths: List<Int>
        get() = bundle.manifest.length?.let(::listOf) ?: lengths(bundle.manifest.maxLength)

    protected companion object {
        /** Numbers of tokens that are timed of a model that reads so many. */
        fun lengths(most: Int) = LENGTHS.filter { it <= most }.ifEmpty { listOf(most) }

        private val LENGTHS = listOf(16, 32, 64, 128, 256)
    }
}

/** A task whose model has one function, of rows of tokens. */
sealed class RowTask(bundle: Bundle, engine: Engine) : TextTask(bundle, engine) {
    init {
        val known = setOf(TOKEN_IDS, PADDING_MASK, SEGMENT_IDS)
        val foreign = (engine.inputs - known).sorted()
        if (foreign.isNotEmpty()) {
            throw KzooException(
                "The model of ${bundle.name} reads ${foreign.joinToString()}; a model of texts reads " +
                    "${known.joinToString()}: take a bundle for texts.",
            )
        }
        if (engine.inputs != bundle.manifest.functions.values.singleOrNull()?.inputs?.keys || TOKEN_IDS !in engine.inputs) {
            throw KzooException(
                "The model of ${bundle.name} reads ${engine.inputs.sorted().joinToString()}, which is not what its " +
                    "manifest says: export anew.",
            )
        }
    }

    /** A row's outputs by name. */
    fun run(row: Row, cancelled: () -> Boolean = { false }): Map<String, Tensor> =
        run(row.inputs.filterKeys { it in engine.inputs }.mapValues { Ids(it.value) }, cancelled)

    /** The row of a golden example's text, as it was when it was written. */
    open fun row(golden: TextGolden): Row = rows.row(golden.text, golden.pair).rows[0]

    override fun runOn(tokens: Int, cancelled: () -> Boolean) {
        val ones = IntArray(tokens) { 1 }
        val nowhere = IntArray(tokens) { -1 }
        run(Row(mapOf(TOKEN_IDS to ones, PADDING_MASK to ones, SEGMENT_IDS to IntArray(tokens)), tokens, nowhere, nowhere), cancelled)
    }
}
