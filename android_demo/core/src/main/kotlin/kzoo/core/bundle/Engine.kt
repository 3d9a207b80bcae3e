package kzoo.core.bundle

import java.io.Closeable

/** Numbers in row-major order, and the shape that they have. */
class Tensor(val shape: IntArray, val values: FloatArray)

/**
 * A runtime that has loaded a model of one signature. It need not be safe for several threads:
 * the tasks take turns on it.
 */
interface Engine : Closeable {
    val runtime: Runtime

    /** The names of what it reads; int32, (1, length) each. */
    val inputs: Set<String>

    /**
     * Outputs by name for inputs by name, all of one length.
     *
     * KzooException if the model can't run on them.
     */
    fun run(inputs: Map<String, IntArray>): Map<String, Tensor>
}
