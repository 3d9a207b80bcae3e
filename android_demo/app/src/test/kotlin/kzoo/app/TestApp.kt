package kzoo.app

import java.nio.ByteBuffer
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Semaphore
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kzoo.core.bundle.Column
import kzoo.core.bundle.Engine
import kzoo.core.bundle.ModelFunction
import kzoo.core.bundle.Tensor
import kzoo.desktop.DesktopEngine

/** The app with its own engine, or with the desktop's where Android's native library can't be loaded. */
open class TestApp : KzooApp() {
    override val engines: Engines by lazy {
        if (AndroidLibrary.missing == null) {
            Device
        } else {
            object : Engines {
                override val runtime = DesktopEngine.RUNTIME
                override fun open(model: ByteBuffer, name: String): Engine = DesktopEngine(model, name)
            }
        }
    }

    /** Waits for the worker, which would otherwise post into the test that comes next. */
    override fun onTerminate() {
        val done = CountDownLatch(1)
        worker.later {
            tasks.closeAll()
            done.countDown()
        }
        check(done.await(60, TimeUnit.SECONDS)) { "the worker is still at work 60 s after the test" }
        super.onTerminate()
    }
}

/** The same with an engine that counts its runs, and waits in one of them. */
class SlowApp : TestApp() {
    val runs = AtomicInteger()
    val waitIn = AtomicInteger(-1)
    val goOn = Semaphore(0)

    override val engines: Engines by lazy {
        val own = super.engines
        object : Engines by own {
            override fun open(model: ByteBuffer, name: String): Engine = Slow(own.open(model, name))
        }
    }

    private inner class Slow(private val engine: Engine) : Engine by engine {
        override val functions = engine.functions.mapValues { (_, function) ->
            object : ModelFunction by function {
                override fun run() {
                    count()
                    function.run()
                }
            }
        }

        override fun run(inputs: Map<String, Column>): Map<String, Tensor> {
            count()
            return engine.run(inputs)
        }

        private fun count() {
            if (runs.incrementAndGet() == waitIn.get()) goOn.acquire()
        }
    }
}

/** The same on a device that has no memory left for a model. */
class SmallApp : TestApp() {
    override val engines: Engines by lazy {
        object : Engines by super.engines {
            override fun open(model: ByteBuffer, name: String): Engine = throw OutOfMemoryError()
        }
    }
}
