package kzoo.app

import android.os.Handler
import android.os.Looper
import java.util.IdentityHashMap
import java.util.concurrent.CancellationException
import java.util.concurrent.Executors

/**
 * Work off the main thread, one piece at a time. Whoever submits again cancels what they submitted
 * before: of what is typed the latest text wins.
 */
class Worker {
    private val main = Handler(Looper.getMainLooper())
    private val thread = Executors.newSingleThreadExecutor { Thread(it, "kzoo") }
    private val current = IdentityHashMap<Any, Job>()

    /** A piece of work: asked whether it is still wanted, it may tell how far it is. */
    inner class Job internal constructor(private val owner: Any) {
        @Volatile
        private var cancelled = false

        val isCancelled: () -> Boolean = { cancelled }

        internal fun cancel() {
            cancelled = true
        }

        /** Runs something on the main thread, unless the work was cancelled meanwhile. */
        fun post(show: () -> Unit) {
            main.post { if (!cancelled) show() }
        }

        /** The last of it: whoever asked is not held any longer. */
        internal fun end(show: () -> Unit) = post {
            current.remove(owner)
            show()
        }
    }

    /** To be called on the main thread, where `done` and `failed` run too. */
    fun <T> submit(owner: Any, work: (Job) -> T, done: (T) -> Unit, failed: (Throwable) -> Unit) {
        cancel(owner)
        val job = Job(owner)
        current[owner] = job
        thread.execute {
            if (job.isCancelled()) return@execute
            try {
                val result = work(job)
                job.end { done(result) }
            } catch (error: CancellationException) {
                // Nobody waits for it.
            } catch (error: Throwable) { // Also a lack of memory: whoever asked shows a sentence.
                job.end { failed(error) }
            }
        }
    }

    /** Runs something after what is under way; nobody waits for it. */
    fun later(work: () -> Unit) = thread.execute(work)

    fun cancel(owner: Any) {
        current.remove(owner)?.cancel()
    }
}
