package kzoo.app

import kzoo.core.bundle.Bundle
import kzoo.core.task.Task

/** Bundles that are loaded: the two asked for last. For the worker's thread alone. */
class Tasks(private val engines: Engines) {
    private val open = LinkedHashMap<String, Task>(4, 0.75f, true)

    fun get(source: Source): Task {
        open[source.id]?.let { return it }
        while (open.size >= MOST) close(open.keys.first())
        val task = try {
            load(source)
        } catch (error: OutOfMemoryError) { // It may fit without the other.
            if (open.isEmpty()) throw error
            closeAll()
            load(source)
        }
        open[source.id] = task
        return task
    }

    private fun load(source: Source): Task {
        val bundle = Bundle.open(source.open(), engines.runtime)
        try {
            val engine = engines.open(bundle)
            try {
                return Task.of(bundle, engine, DevicePictures)
            } catch (error: Throwable) {
                engine.close()
                throw error
            }
        } catch (error: Throwable) {
            bundle.close()
            throw error
        }
    }

    fun close(id: String) {
        open.remove(id)?.close()
    }

    fun closeAll() {
        for (id in open.keys.toList()) close(id)
    }

    private companion object {
        const val MOST = 2
    }
}
