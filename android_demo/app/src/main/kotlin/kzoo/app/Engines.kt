package kzoo.app

import java.io.File
import java.nio.ByteBuffer
import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Engine
import kzoo.core.bundle.Place
import kzoo.core.bundle.Processor
import kzoo.core.bundle.Runtime
import kzoo.core.task.BundleCheck
import kzoo.core.task.Task

/** The runtime of a device: its version, and how it loads a model. */
interface Engines {
    val runtime: Runtime

    /**
     * `model` is a direct buffer; `name` is what its bundle is called in an error.
     *
     * KzooException where this device has no such processor, or the model can't run there.
     */
    fun open(model: ByteBuffer, name: String, processor: Processor = Processor.CPU): Engine
}

/** A bundle's engine: on the GPU where its file was made for one and is right there, else on the processor. */
fun Engines.open(bundle: Bundle): Engine {
    if (bundle.manifest.madeFor != "gpu") return open(bundle.model(), bundle.name)
    val refusal = try {
        return onGpu(bundle)
    } catch (error: KzooException) {
        error.message
    }
    val engine = open(bundle.model(), bundle.name)
    return object : Engine by engine {
        override val place = Place(Processor.CPU, refusal)
    }
}

/** There while a GPU is tried, as its driver may end the app; Android has this folder in the app's cache. */
private val trial get() = File(System.getProperty("java.io.tmpdir")!!, "trial-of-gpu")

/** An engine on the GPU, of the fewest bits in which golden examples pass; KzooException says why there is none. */
private fun Engines.onGpu(bundle: Bundle): Engine {
    if (!trial.mkdir()) throw KzooException("The app ended while it tried this device's GPU: clear its cache to try again.")
    try {
        val half = open(bundle.model(), bundle.name, Processor.GPU_FLOAT16)
        if (wrong(bundle, half) == null) return half
        val single = open(bundle.model(), bundle.name, Processor.GPU_FLOAT32)
        wrong(bundle, single)?.let { throw KzooException(it) }
        return single
    } finally {
        trial.delete()
    }
}

/** Closes an engine that answers the golden examples otherwise than the export, and says so; null for one that is right. */
private fun wrong(bundle: Bundle, engine: Engine): String? {
    var right = false
    try {
        val failed = BundleCheck.run(Task.of(bundle, engine, DevicePictures)).filter { !it.passed }
        right = failed.isEmpty()
        return failed.firstOrNull()?.let { "The GPU fails ${failed.size} of ${bundle.manifest.golden.size} golden examples: ${it.reason}." }
    } catch (error: KzooException) {
        return error.message
    } finally {
        if (!right) engine.close()
    }
}
