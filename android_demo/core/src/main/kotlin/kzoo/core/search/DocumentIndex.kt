package kzoo.core.search

import java.io.File
import java.nio.ByteBuffer
import java.nio.FloatBuffer
import java.nio.LongBuffer
import kzoo.core.KzooException
import kzoo.core.bundle.utf8
import kzoo.core.json.Json
import kzoo.core.task.Hit
import kzoo.core.task.LateInteraction
import kzoo.core.task.Task
import kzoo.core.task.TextClassifier
import kzoo.core.task.TextEmbedder
import kzoo.core.task.maxSimilarity
import kzoo.core.task.similarity

/** A document of an index: what it is called there, a number or a text, and its own text. */
class Document(val id: Any?, val text: String)

/**
 * What `kzoo index` wrote, see kzoo/index.py: documents, and their vectors in int8 by one encoder or by two, of which the first
 * finds candidates among all and the second ranks these again.
 *
 * The encoders, which belong to whoever opened them, are the bundles that the index was made by; their seals say so.
 */
class DocumentIndex private constructor(val documents: List<Document>, private val stages: List<Stage>) {
    /**
     * The documents that answer a query best, the best first, earlier ones before equals; `similarity` is the score of the last
     * stage.
     *
     * `candidates` is how many documents the first stage leaves to the second, or to the `reranker`, which ranks in its place; null
     * for all.
     */
    fun search(
        query: String, top: Int, candidates: Int? = CANDIDATES, reranker: Reranker? = null, cancelled: () -> Boolean = { false },
    ): List<Hit> {
        require(top >= 1 && (candidates == null || candidates >= 1))
        val every = stages[0].scores(query, documents.indices.toList(), cancelled)
        val order = documents.indices.sortedByDescending { every[it] }
        val isRanked = reranker != null || stages.size > 1
        val rows = order.take(if (isRanked) maxOf(top, candidates ?: documents.size) else top)
        val scores = when {
            reranker != null -> reranker.scores(query, rows.map { documents[it].text }, cancelled)
            stages.size > 1 -> stages[1].scores(query, rows, cancelled)
            else -> DoubleArray(rows.size) { every[rows[it]] }
        }
        return rows.indices.sortedByDescending { scores[it] }.take(top).map { Hit(rows[it], documents[rows[it]].text, scores[it]) }
    }

    companion object {
        const val CANDIDATES = 100
        private const val FORMAT = 1L
        private const val INDEX = "index.json"
        private const val TEXTS = "texts.jsonl"

        /** Where the encoder of each stage lay when the index was made; null for one that lay nowhere. */
        fun sources(folder: File): List<String?> = stages(folder).map { it["encoder"] as? String }

        /** Opens an index whose stages' encoders are these, in order. KzooException says in one sentence what is wrong. */
        fun open(folder: File, encoders: List<Task>): DocumentIndex {
            val facts = stages(folder)
            val documents = text(folder, TEXTS).removeSuffix("\n").split("\n").map { line ->
                val row = parsed(folder, line)
                Document(row["id"], row["text"] as? String ?: throw broken(folder))
            }
            if (facts.size !in 1..2 || encoders.size != facts.size) throw broken(folder)
            if ((facts(folder)["documents"] as? Long)?.toInt() != documents.size) throw broken(folder)
            return DocumentIndex(documents, facts.zip(encoders).mapIndexed { place, (stage, encoder) ->
                Stage.read(folder, place, stage, encoder, documents.size)
            })
        }

        private fun facts(folder: File): Map<*, *> {
            if (!File(folder, INDEX).isFile) throw KzooException("$folder holds no $INDEX; expected a folder of `kzoo index`.")
            val facts = parsed(folder, text(folder, INDEX))
            if (facts["format"] != FORMAT) {
                throw KzooException("$folder has format ${facts["format"].toString().take(20)}; expected $FORMAT: index anew.")
            }
            return facts
        }

        private fun stages(folder: File): List<Map<*, *>> =
            (facts(folder)["stages"] as? List<*> ?: throw broken(folder)).map { it as? Map<*, *> ?: throw broken(folder) }

        private fun text(folder: File, name: String): String {
            val file = File(folder, name)
            if (!file.isFile || file.length() > LARGEST) throw broken(folder)
            return utf8(file.readBytes(), file.path)
        }

        private fun parsed(folder: File, text: String): Map<*, *> = try {
            Json.parse(text) as? Map<*, *> ?: throw broken(folder)
        } catch (error: KzooException) {
            throw broken(folder)
        }

        internal fun broken(folder: File) = KzooException("$folder is no whole index: index anew.")

        private const val LARGEST = 1L shl 30
    }
}

/** The vectors of all documents by one encoder, in int8, and what encodes queries. */
private class Stage(
    private val encoder: Encoder, private val codes: ByteBuffer, private val scales: FloatBuffer, private val width: Int,
    private val starts: LongBuffer?,
) {
    /** How near a query is to documents of these numbers. */
    fun scores(query: String, rows: List<Int>, cancelled: () -> Boolean): DoubleArray {
        val asked = encoder.query(query, cancelled)
        return DoubleArray(rows.size) { place ->
            val row = rows[place]
            val from = starts?.get(row)?.toInt() ?: row
            val until = starts?.get(row + 1)?.toInt() ?: (row + 1)
            encoder.score(asked, (from until until).map(::vector))
        }
    }

    private fun vector(row: Int): FloatArray {
        val scale = scales.get(row)
        return FloatArray(width) { codes.get(row * width + it) * scale }
    }

    companion object {
        fun read(folder: File, place: Int, facts: Map<*, *>, task: Task, documents: Int): Stage {
            val (name, seal) = task.bundle.name to task.bundle.manifest.seal
            val encoder = Encoder.of(task)
            if (facts["fingerprint"] != seal) {
                throw KzooException(
                    "$folder was made by another model (${facts["task"]} of ${facts["encoder"]}) than $name, whose vectors mean " +
                        "something else: index anew, or give the bundle that it was made by.",
                )
            }
            fun numbers(of: String) = Numbers.read(File(folder, "stage_$place.$of.npy"))
            val codes = numbers("codes")
            val scales = numbers("scales")
            val starts = if (encoder is OfTokens) numbers("starts") else null
            val ends = starts?.bytes?.asLongBuffer()
            val width = codes.shape.getOrElse(1) { 0 }
            val whole = codes.type == "|i1" && codes.shape.size == 2 && width.toLong() == facts["width"] && scales.type == "<f4" &&
                scales.shape == listOf(codes.shape[0])
            val fits = if (starts == null) codes.shape[0] == documents
            else starts.type == "<i8" && starts.shape == listOf(documents + 1) && rise(ends!!, documents, codes.shape[0])
            if (!whole || !fits) throw KzooException("$folder has vectors of other numbers or sizes: index anew.")
            val factors = scales.bytes.asFloatBuffer()
            for (row in 0 until codes.shape[0]) {
                if (factors.get(row).let { it.isNaN() || it.isInfinite() }) throw KzooException("$folder holds NaN or infinite numbers: index anew.")
            }
            return Stage(encoder, codes.bytes, factors, width, ends)
        }

        /** Whether the documents' first vectors follow one another, and the last one's end is that of all. */
        private fun rise(starts: LongBuffer, documents: Int, vectors: Int): Boolean =
            starts.get(0) == 0L && starts.get(documents) == vectors.toLong() && (0 until documents).all { starts.get(it) <= starts.get(it + 1) }
    }
}

/** What makes vectors of a query, and compares them with a document's. */
private sealed class Encoder {
    abstract fun query(text: String, cancelled: () -> Boolean): List<FloatArray>

    abstract fun score(query: List<FloatArray>, document: List<FloatArray>): Double

    companion object {
        fun of(task: Task): Encoder = when (task) {
            is TextEmbedder -> OfTexts(task)
            is LateInteraction -> OfTokens(task)
            else -> throw KzooException(
                "Got ${task.bundle.name}, a bundle of a ${task.bundle.manifest.task}, to search by; expected one of a TextEmbedder or a " +
                    "LateInteraction, whose vectors say what is near.",
            )
        }
    }
}

private class OfTexts(private val task: TextEmbedder) : Encoder() {
    override fun query(text: String, cancelled: () -> Boolean) = listOf(task.embed(text, null, cancelled).vector)

    override fun score(query: List<FloatArray>, document: List<FloatArray>) =
        similarity(query[0], document[0], task.similarity)
}

private class OfTokens(private val task: LateInteraction) : Encoder() {
    override fun query(text: String, cancelled: () -> Boolean) = task.query(text, cancelled).texts[0]

    override fun score(query: List<FloatArray>, document: List<FloatArray>) = maxSimilarity(query, document)
}

/** Reads a query and texts, and says how well each answers it: a `TextClassifier` of pairs with one number, or a `LateInteraction`. */
class Reranker(private val task: Task) {
    init {
        val fits = task is LateInteraction || task is TextClassifier && task.bundle.manifest.labels?.size == 1
        if (!fits) {
            throw KzooException(
                "Got ${task.bundle.name}, a bundle of a ${task.bundle.manifest.task}, to rank by; expected one that gives one number a " +
                    "pair, or a LateInteraction.",
            )
        }
    }

    fun scores(query: String, texts: List<String>, cancelled: () -> Boolean = { false }): DoubleArray = when (task) {
        is LateInteraction -> {
            val asked = task.query(query, cancelled).texts[0]
            DoubleArray(texts.size) { maxSimilarity(asked, task.document(texts[it], cancelled).texts[0]) }
        }
        else -> DoubleArray(texts.size) { (task as TextClassifier).classify(query, texts[it], cancelled).scores.single().second }
    }
}
