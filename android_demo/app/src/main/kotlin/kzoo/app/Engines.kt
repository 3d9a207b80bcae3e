package kzoo.app

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
    var refusal: String? = null
    try {
        for (processor in listOf(Processor.GPU_FLOAT16, Processor.GPU_FLOAT32)) {
            val engine = open(bundle.model(), bundle.name, processor)
            refusal = wrong(bundle, engine) ?: return engine
        }
    } catch (error: KzooException) { // The other precision would be refused, too.
        refusal = error.message
    }
    val engine = open(bundle.model(), bundle.name)
    return object : Engine by engine {
        override val place = Place(Processor.CPU, refusal)
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
