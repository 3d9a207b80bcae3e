package kzoo.core.bundle

import java.io.Closeable
import java.nio.ByteBuffer

/** Numbers in row-major order, and the shape that they have. */
class Tensor(val shape: IntArray, val values: FloatArray)

/** What a model reads by one name, in row-major order; `type` is how a file calls its numbers. */
sealed class Column(val size: Int, val type: String)

/** Whole numbers (1, size), such as ids: the model takes as many as there are. */
class Ids(val values: IntArray) : Column(values.size, "int32")

/** Levels of 0 to 255, as bytes without a sign, in the shape that the model has. */
class Levels(val values: ByteArray) : Column(values.size, "uint8")

/** Numbers in the shape that the model has. */
class Samples(val values: FloatArray) : Column(values.size, "float32")

/** What can compute a model's numbers; a GPU with numbers of 16 bits, which most are made for, or of 32. */
enum class Processor { CPU, GPU_FLOAT16, GPU_FLOAT32 }

/** Where a model runs; `refusal` says why that is not the GPU, where its file was made for one. */
class Place(val processor: Processor, val refusal: String? = null)

/**
 * A runtime that has loaded a model. It need not be safe for several threads: the tasks take turns on
 * it.
 *
 * `inputs` and `run` are for a model of one function, of which they say KzooException where it has
 * others.
 */
interface Engine : Closeable {
    val runtime: Runtime

    /** Where it computes. */
    val place: Place get() = Place(Processor.CPU)

    /** What the model can do, by the names that its file has for it. */
    val functions: Map<String, ModelFunction>

    /** The names of what it reads. */
    val inputs: Set<String>

    /**
     * Outputs by name for inputs by name; those that are `Ids` are all of one length.
     *
     * KzooException if the model can't run on them.
     */
    fun run(inputs: Map<String, Column>): Map<String, Tensor>
}

/**
 * One of a model's functions, run where its inputs and outputs lie, so that a cache is not copied.
 *
 * Memory is direct, in the byte order of the machine, row-major; numbers are int32 or float32.
 */
interface ModelFunction {
    /** The shape of each input by its name; -1 where any number may stand. */
    val inputs: Map<String, IntArray>

    /** The same of each output. */
    val outputs: Map<String, IntArray>

    /**
     * Gives every open axis this size. If it had another, all inputs are zeros now, and memory that
     * was given out before is not to be used.
     *
     * KzooException if the model can't have it.
     */
    fun fit(length: Int = 1)

    /** An input's memory, to be written; it stays as it was from run to run. */
    fun input(name: String): ByteBuffer

    /** Runs on the inputs as they are; KzooException if the model can't. */
    fun run()

    /** An output's memory, until the next run. */
    fun output(name: String): ByteBuffer
}
