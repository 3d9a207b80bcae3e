package kzoo.core.task

import java.io.Closeable
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine
import kzoo.core.bundle.Export
import kzoo.core.bundle.Together
import kzoo.core.image.PictureDecoder

/** An export that answers: a task, or two towers. `close` closes all of it. */
sealed interface Opened : Closeable {
    /** The task of each bundle in it. */
    val tasks: List<Task>

    companion object {
        /**
         * What an export was made for; `engine` loads the model of a bundle. Where it can't be, what was opened,
         * the export too, is closed.
         */
        fun of(export: Export, decoder: PictureDecoder = PictureDecoder.NONE, engine: (Bundle) -> Engine): Opened {
            val open = ArrayList<Closeable>().apply { add(export) }
            try {
                val tasks = export.bundles.map { bundle ->
                    val loaded = engine(bundle).also(open::add)
                    Task.of(bundle, loaded, decoder)
                }
                return when (export) {
                    is Bundle -> tasks.single()
                    is Together -> Towers(export, tasks[0] as ImageEmbedder, tasks[1] as TextEmbedder)
                }
            } catch (error: Throwable) {
                open.asReversed().forEach { it.close() }
                throw error
            }
        }
    }
}
