package kzoo.core.bundle

import java.io.OutputStream
import java.nio.ByteBuffer
import java.security.MessageDigest
import kzoo.core.KzooException
import kzoo.core.json.Json
import kzoo.core.tokenizer.Tokenizer
import kzoo.core.tokenizer.endOfText

/**
 * What `kzoo export` wrote, after every file was found as it was written.
 *
 * It can serve several threads. `close` closes the files that it lies in.
 */
class Bundle private constructor(private val files: BundleFiles, val manifest: Manifest) : Export {
    override val name: String get() = files.name

    override val bundles get() = listOf(this)

    /** How many bytes its files have, without the manifest. */
    override val bytes: Long get() = manifest.files.values.sumOf { it.bytes }

    /** How texts become ids; read when it is first asked for. */
    val tokenizer: Tokenizer by lazy {
        files.reading(TOKENIZER) { files.open(TOKENIZER).buffered().use(Tokenizer::read) }
    }

    /** How pictures or sounds become what the model reads. */
    val preprocessor: Map<*, *> by lazy {
        Json.parse(text(PREPROCESSOR)) as? Map<*, *> ?: throw KzooException("$name/$PREPROCESSOR is no JSON object: export anew.")
    }

    /** A file's bytes, such as that of a golden example. */
    fun bytes(file: String): ByteArray = files.reading(file) { files.open(file).use { it.readBytes() } }

    /** The token that ends what is written, or null where none does. */
    val endId: Int? by lazy {
        endOfText(tokenizer, SPECIAL_TOKENS.takeIf { it in manifest.files }?.let { Json.parse(text(it).reader()) as? Map<*, *> })
    }

    /** What was measured at the export, for a page to show; nothing is computed from it. */
    val report: Map<*, *> by lazy {
        val text = text(REPORT)
        Json.parse(text.reader()) as? Map<*, *>
            ?: throw KzooException("$name/$REPORT is no JSON object: export anew.")
    }

    /** The model as a direct buffer, mapped where the files can be. */
    fun model(): ByteBuffer = files.reading(MODEL) { files.map(MODEL) }

    /**
     * Writes each file and the manifest: what comes out is a bundle again, if `open` finds it so.
     *
     * No file is read further than it may be long, and no other one at all.
     */
    override fun copy(target: (String) -> OutputStream) {
        for (file in manifest.files.keys + MANIFEST) {
            val most = manifest.files[file]?.bytes ?: LARGEST_SMALL
            files.reading(file) {
                files.open(file).use { stream -> target(file).use { pump(stream, most) { bytes, count -> it.write(bytes, 0, count) } } }
            }
        }
    }

    override fun close() = files.close()

    private fun text(file: String) = utf8(bytes(file), "$name/$file")

    private fun check(runtime: Runtime?) {
        val others = files.list() - manifest.files.keys - MANIFEST
        if (others.isNotEmpty()) throw KzooException("$name/${others[0]} is not one of the bundle's files: take it away.")
        if (bytes !in 0..LARGEST) {
            throw KzooException("$name/$MANIFEST speaks of $bytes bytes; a bundle has $LARGEST at most: export a smaller model.")
        }
        for ((file, entry) in manifest.files) checkFile(file, entry)
        for (file in NEEDED + manifest.options.reads.sense.processor) {
            if (file !in manifest.files) throw KzooException("$name was written without $file: export anew.")
        }
        manifest.labels?.let { labels ->
            if (LABELS !in manifest.files) throw KzooException("$name was written without $LABELS: export anew.")
            val lines = text(LABELS).removeSuffix("\n").split("\n")
            if (lines != labels) {
                throw KzooException(
                    "$name/$LABELS holds ${lines.size} labels that are not the ${labels.size} of $MANIFEST: " +
                        "export anew.",
                )
            }
        }
        if (runtime == null) return
        val minimum = manifest.minimumRuntime[runtime.name] ?: return
        if (!runtime.reaches(minimum)) {
            val older = OLDER_RUNTIMES.firstOrNull { runtime.name == "tflite" && runtime.reaches(it) }
            val export = older?.let { "export it with `--compat tflite-$it`, or " }.orEmpty()
            throw KzooException("$name needs ${Runtime(runtime.name, minimum)} or newer, and this is $runtime: ${export}take a newer runtime.")
        }
    }

    private fun checkFile(file: String, entry: FileEntry) {
        val digest = MessageDigest.getInstance("SHA-256")
        val size = files.reading(file) {
            files.open(file).use { stream -> pump(stream, entry.bytes) { bytes, count -> digest.update(bytes, 0, count) } }
        }
        if (size != entry.bytes) {
            val found = if (size > entry.bytes) "more than ${entry.bytes} bytes" else "$size bytes, not ${entry.bytes}"
            throw KzooException("$name/$file was changed after the export: it has $found; export anew.")
        }
        if (hexadecimal(digest.digest()) != entry.sha256) {
            throw KzooException(
                "$name/$file was changed after the export: its SHA-256 is not the one in $MANIFEST; export anew.",
            )
        }
    }

    companion object {
        private val NEEDED = listOf(MODEL, REPORT)
        /** What `kzoo export --compat` can write for. */
        private val OLDER_RUNTIMES = listOf("2.16", "2.14")
        /** All files together; no TensorFlow Lite model is larger. */
        private const val LARGEST = Int.MAX_VALUE.toLong()

        /**
         * Opens a bundle and checks its seal, its format, every file and what runtime it needs.
         *
         * `runtime` is what will run the model, or null for a look at the files alone.
         * KzooException says in one sentence what is wrong; the files are closed then.
         */
        fun open(files: BundleFiles, runtime: Runtime? = null): Bundle {
            var opened = false
            try {
                val bundle = Bundle(files, manifest(files))
                bundle.check(runtime)
                opened = true
                return bundle
            } finally {
                if (!opened) files.close()
            }
        }

        /** What a bundle says of itself; of its files only the manifest is looked at. */
        fun manifest(files: BundleFiles): Manifest {
            if (MANIFEST !in files.list()) {
                throw KzooException(
                    "${files.name} holds no $MANIFEST: a bundle that `kzoo export` wrote is expected.",
                )
            }
            return Manifest.read(files.small(MANIFEST), "${files.name}/$MANIFEST")
        }
    }
}
