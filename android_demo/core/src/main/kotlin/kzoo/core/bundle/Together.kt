package kzoo.core.bundle

import java.io.OutputStream
import kzoo.core.KzooException
import kzoo.core.json.Json

/** What holds two bundles together that make vectors of one space, see kzoo/bundle/towers.py. */
const val TOGETHER = "towers.json"

/** Their folders, and what each reads. */
val TOWERS = mapOf("image" to Sense.IMAGE, "text" to Sense.TEXT)

private const val FORMAT = 1L
private const val PAGE = "report.html"
private val FIELDS = setOf("format", "kzoo", "task", "scale", "labels", "templates", "towers", "report", "seal")

/**
 * A bundle of two towers, one of pictures and one of texts, after every file was found as it was written.
 *
 * `scale` is what cosines are multiplied by before a softmax; `labels`, null where there are none, and
 * `templates` are those of a classifier.
 */
class Together private constructor(private val files: BundleFiles, private val said: Said, val image: Bundle, val text: Bundle) : Export {
    private val fields get() = said.fields
    override val name: String get() = files.name
    override val bundles get() = listOf(image, text)
    override val bytes: Long get() = bundles.sumOf { it.bytes }
    val task: String get() = fields["task"].toString()
    val scale: Double get() = (fields["scale"] as Number).toDouble()
    val labels: List<String>? get() = (fields["labels"] as List<*>?)?.map { it.toString() }
    val templates: List<String> get() = (fields["templates"] as List<*>).map { it.toString() }

    /** But for the page, which nothing vouches for. */
    override fun copy(target: (String) -> OutputStream) {
        for (file in listOf(TOGETHER, REPORT)) target(file).use { it.write(files.small(file)) }
        for ((folder, bundle) in TOWERS.keys.zip(bundles)) bundle.copy { target("$folder/$it") }
    }

    override fun close() = files.close()

    /** What `towers.json` says, once its seal was found to fit. */
    internal class Said(private val source: String, bytes: ByteArray) {
        val fields: Map<*, *>

        init {
            val text = utf8(bytes, source)
            val value = try {
                Json.parse(text.reader())
            } catch (error: KzooException) {
                throw KzooException("$source is not JSON (${error.message?.trimEnd('.')}): $ROLE was expected there.")
            }
            fields = value as? Map<*, *> ?: throw KzooException("$source holds ${text.trim().take(40)}; $ROLE, a JSON object, was expected there.")
            if (fields["format"] != FORMAT) {
                throw KzooException(
                    "$source is of format ${Json.write(fields["format"]).take(40)}; this program reads $FORMAT: export anew, or take the " +
                        "program that reads it.",
                )
            }
            if (fields.keys != FIELDS || !isWhole() || !isSealed(text, fields["seal"].toString())) {
                throw KzooException("$source was changed after the export: its seal doesn't fit; export anew.")
            }
        }

        private fun isWhole(): Boolean {
            fun isStrings(value: Any?) = value is List<*> && value.all { it is String }
            val scale = (fields["scale"] as? Number)?.toDouble()
            return scale != null && scale.isFinite() && scale >= 0 && fields["task"] is String && isStrings(fields["templates"]) &&
                (fields["labels"] == null || isStrings(fields["labels"])) && (fields["towers"] as? Map<*, *>)?.keys == TOWERS.keys
        }

        /** KzooException unless a tower is the one that was there at the export. */
        fun check(folder: String, manifest: Manifest, name: String) {
            val options = manifest.options
            if (manifest.seal != (fields["towers"] as Map<*, *>)[folder] || options.answers != Answers.EMBEDDING || options.reads.sense != TOWERS[folder]) {
                throw KzooException("$name/$MANIFEST isn't the one that $source was written for: export anew.")
            }
        }

        private companion object {
            const val ROLE = "what holds two towers together"
        }
    }

    companion object {
        /**
         * Opens both bundles and checks each as `Bundle.open` does, and what holds them together.
         *
         * KzooException says in one sentence what is wrong; the files are closed then.
         */
        fun open(files: BundleFiles, runtime: Runtime? = null): Together {
            var opened = false
            try {
                val said = Said("${files.name}/$TOGETHER", files.small(TOGETHER))
                val there = files.list()
                val places = TOWERS.keys.associateWith { files.within(it) }
                for ((folder, place) in places) {
                    if (folder !in there) throw KzooException("${place.name} is no folder: a bundle that `kzoo export` wrote is expected.")
                    said.check(folder, Bundle.manifest(place), place.name)
                }
                (there - TOWERS.keys - setOf(TOGETHER, REPORT, PAGE)).firstOrNull()?.let {
                    throw KzooException("${files.name} holds $it, which no export writes: take it out.")
                }
                if (sha256(files.small(REPORT)) != said.fields["report"]) {
                    throw KzooException("${files.name}/$REPORT was changed after the export: its SHA-256 is another; export anew.")
                }
                val (image, text) = places.values.map { Bundle.open(it, runtime) }
                return Together(files, said, image, text).also { opened = true }
            } finally {
                if (!opened) files.close()
            }
        }
    }
}
