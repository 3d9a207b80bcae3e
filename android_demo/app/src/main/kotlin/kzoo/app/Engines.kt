package kzoo.app

import java.nio.ByteBuffer
import kzoo.core.bundle.Engine
import kzoo.core.bundle.Runtime

/** The runtime of a device: its version, and how it loads a model. */
interface Engines {
    val runtime: Runtime

    /** `model` is a direct buffer; `name` is what its bundle is called in an error. */
    fun open(model: ByteBuffer, name: String): Engine
}
