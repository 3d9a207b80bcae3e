package kzoo.app

import java.nio.ByteBuffer
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Semaphore
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kzoo.core.KzooException
import kzoo.core.bundle.Column
import kzoo.core.bundle.Engine
import kzoo.core.bundle.ModelFunction
import kzoo.core.bundle.Place
import kzoo.core.bundle.Processor
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
                override fun open(model: ByteBuffer, name: String, processor: Processor): Engine =
                    if (processor == Processor.CPU) DesktopEngine(model, name) else throw KzooException("The desktop's engine has no GPU.")
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
            override fun open(model: ByteBuffer, name: String, processor: Processor): Engine = Slow(own.open(model, name, processor))
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

/** The same on a device with a GPU, whose numbers are off by so much; it keeps what was opened there. */
class GpuApp : TestApp() {
    var off: Map<Processor, Float> = emptyMap()
    val opened = ArrayList<OnGpu>()

    override val engines: Engines by lazy {
        val own = super.engines
        object : Engines by own {
            override fun open(model: ByteBuffer, name: String, processor: Processor): Engine =
                own.open(model, name).let { if (processor == Processor.CPU) it else OnGpu(it, processor).also(opened::add) }
        }
    }

    inner class OnGpu(private val engine: Engine, processor: Processor) : Engine by engine {
        override val place = Place(processor)
        var closed = false

        override fun run(inputs: Map<String, Column>): Map<String, Tensor> = engine.run(inputs).mapValues { (_, tensor) ->
            Tensor(tensor.shape, FloatArray(tensor.values.size) { tensor.values[it] + off.getValue(place.processor) })
        }

        override fun close() {
            closed = true
            engine.close()
        }
    }
}

/** The same on a device that has no memory left for a model. */
class SmallApp : TestApp() {
    override val engines: Engines by lazy {
        object : Engines by super.engines {
            override fun open(model: ByteBuffer, name: String, processor: Processor): Engine = throw OutOfMemoryError()
        }
    }
}
