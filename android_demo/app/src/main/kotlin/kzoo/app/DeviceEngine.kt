package kzoo.app

import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import kzoo.core.KzooException
import kzoo.core.bundle.Column
import kzoo.core.bundle.Engine
import kzoo.core.bundle.Ids
import kzoo.core.bundle.Levels
import kzoo.core.bundle.ModelFunction
import kzoo.core.bundle.Place
import kzoo.core.bundle.Processor
import kzoo.core.bundle.Runtime
import kzoo.core.bundle.Samples
import kzoo.core.bundle.Tensor
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite
import org.tensorflow.lite.gpu.CompatibilityList
import org.tensorflow.lite.gpu.GpuDelegate
import org.tensorflow.lite.gpu.GpuDelegateFactory

/** LiteRT, or TensorFlow Lite, by the Java interface that both have. */
class DeviceEngine(model: ByteBuffer, private val name: String, processor: Processor = Processor.CPU) : Engine {
    override val runtime = Device.runtime
    override val place = Place(processor)
    internal val delegate = delegate(processor)
    private val interpreter = try {
        Interpreter(model, Interpreter.Options().setNumThreads(threads()).apply { delegate?.let(::addDelegate) })
    } catch (error: RuntimeException) {
        delegate?.close()
        throw if (delegate == null) unread(error) else refused(error)
    }
    override val functions: Map<String, ModelFunction> = interpreter.signatureKeys.associateWith(::Copied)
    private val signature: String by lazy {
        functions.keys.singleOrNull()
            ?: throw KzooException("$name/model.tflite has ${functions.size} signatures; one was expected.")
    }
    override val inputs: Set<String> by lazy { interpreter.getSignatureInputs(signature).toSet() }
    private val outputs: Array<String> by lazy { interpreter.getSignatureOutputs(signature) }
    private var length = -1

    /** Where each input stands among the tensors: `resizeInput` counts, and does not know names. */
    private val places: Map<String, Int> by lazy { inputs.associateWith(::place) }

    init {
        try {
            if (functions.size == 1) places
        } catch (error: KzooException) {
            close()
            throw error
        }
    }

    private fun refused(error: RuntimeException): KzooException {
        val reason = error.message.orEmpty().lines().firstOrNull { it.startsWith(REASON) }?.removePrefix(REASON)
        return KzooException("The GPU's delegate of $runtime refuses $name/model.tflite${reason?.let { " ($it)" }.orEmpty()}.")
    }

    private fun unread(error: RuntimeException) = when (error) {
        is IllegalArgumentException -> KzooException("$name/model.tflite is no model that $runtime reads: take a newer runtime, or export anew.")
        is IllegalStateException -> KzooException("$name/model.tflite can't be run by $runtime: take a newer runtime, or export anew.")
        else -> error
    }

    private fun place(input: String): Int {
        val wanted = interpreter.getInputTensorFromSignature(input, signature)
        if (wanted.dataType() !in TYPES) {
            throw KzooException("$name/model.tflite reads $input that is no ${TYPES.values.joinToString()}: export anew.")
        }
        return (0 until interpreter.inputTensorCount).first { interpreter.getInputTensor(it).index() == wanted.index() }
    }

    override fun run(inputs: Map<String, Column>): Map<String, Tensor> {
        val asked = inputs.values.firstOrNull { it is Ids }?.size ?: 0
        try {
            if (asked != length) {
                for ((input, column) in inputs) if (column is Ids) resize(places.getValue(input), intArrayOf(1, asked))
                interpreter.allocateTensors()
                length = asked
            }
            val given = inputs.mapValues { (input, column) -> given(input, column) }
            val room = outputs.associateWith { output ->
                val tensor = interpreter.getOutputTensorFromSignature(output, signature)
                if (tensor.dataType() != DataType.FLOAT32) {
                    throw KzooException("The model of $name gives $output that is no float32: export anew.")
                }
                FloatBuffer.allocate(tensor.numElements())
            }
            interpreter.runSignature(given, room as Map<String, Any>, signature)
            return room.mapValues { (output, buffer) ->
                Tensor(interpreter.getOutputTensorFromSignature(output, signature).shape(), buffer.array())
            }
        } catch (error: IllegalArgumentException) {
            throw refused(asked)
        } catch (error: IllegalStateException) {
            throw refused(asked)
        }
    }

    /** What has this size already keeps it: another one would end the GPU's part in it. */
    private fun resize(place: Int, shape: IntArray) {
        if (!interpreter.getInputTensor(place).shape().contentEquals(shape)) interpreter.resizeInput(place, shape)
    }

    /** A column as the interpreter takes it: an array of rows, or memory of the tensor's own size. */
    private fun given(input: String, column: Column): Any {
        val tensor = interpreter.getInputTensorFromSignature(input, signature)
        if (TYPES[tensor.dataType()] != column.type || column !is Ids && tensor.numElements() != column.size) {
            throw KzooException(
                "The model of $name reads $input of ${tensor.numElements()} ${tensor.dataType()}, not ${column.size} of ${column.type}: " +
                    "export anew.",
            )
        }
        return when (column) {
            is Ids -> arrayOf(column.values)
            is Levels -> ByteBuffer.allocateDirect(column.size).apply { put(column.values); (this as Buffer).rewind() }
            is Samples -> FloatBuffer.wrap(column.values)
        }
    }

    private fun refused(asked: Int): KzooException {
        length = -1
        return KzooException(
            if (asked == 0) "The model of $name can't be run on this device: export anew, or take a newer runtime."
            else "The model of $name refuses these $asked tokens: ids of its own vocabulary, and no more tokens than it has " +
                "places, were expected.",
        )
    }

    /** A function whose inputs and outputs are copied at each run: the Java interface has no other way. */
    private inner class Copied(private val signature: String) : ModelFunction {
        override val inputs = interpreter.getSignatureInputs(signature)
            .associateWith { interpreter.getInputTensorFromSignature(it, signature).shapeSignature() }
        override val outputs = interpreter.getSignatureOutputs(signature)
            .associateWith { interpreter.getOutputTensorFromSignature(it, signature).shapeSignature() }
        private var length = -1

        /** Whether the interpreter has this length; it doesn't before it was given inputs of it. */
        private var isSized = false
        private var given = emptyMap<String, ByteBuffer>()
        private var room = emptyMap<String, ByteBuffer>()

        override fun fit(length: Int) {
            if (this.length == length || this.length > 0 && inputs.values.all { -1 !in it }) return
            given = inputs.mapValues { memory(it.value, length) }
            room = outputs.mapValues { memory(it.value, length) }
            this.length = length
            isSized = inputs.values.all { -1 !in it }
        }

        private fun memory(shape: IntArray, length: Int): ByteBuffer {
            val count = shape.fold(4) { product, size -> product * (if (size == -1) length else size) }
            return ByteBuffer.allocateDirect(count).order(ByteOrder.nativeOrder())
        }

        override fun input(name: String): ByteBuffer = given.getValue(name)

        override fun run() {
            // Of arrays the interpreter sees the size, and gives the input the same; of a buffer it doesn't.
            val values = if (isSized) given else given.mapValues { (name, memory) ->
                if (-1 in inputs.getValue(name)) arrays(name, memory) else memory
            }
            try {
                interpreter.runSignature(values, room as Map<String, Any>, signature)
                isSized = true
            } catch (error: IllegalArgumentException) {
                throw refused()
            } catch (error: IllegalStateException) {
                throw refused()
            } finally {
                for (memory in given.values + room.values) (memory as Buffer).rewind()
            }
        }

        /** An input as arrays of arrays. */
        private fun arrays(name: String, memory: ByteBuffer): Any {
            val shape = IntArray(inputs.getValue(name).size) { place -> inputs.getValue(name)[place].takeIf { it >= 0 } ?: length }
            val isWhole = interpreter.getInputTensorFromSignature(name, signature).dataType() == DataType.INT32
            val (numbers, floats) = memory.asIntBuffer() to memory.asFloatBuffer()
            fun part(axis: Int): Any {
                if (axis == shape.size - 1) return if (isWhole) IntArray(shape[axis]).also(numbers::get) else FloatArray(shape[axis]).also(floats::get)
                val parts = List(shape[axis]) { part(axis + 1) }
                return (java.lang.reflect.Array.newInstance(parts[0].javaClass, parts.size) as Array<Any>).also { array ->
                    parts.forEachIndexed { place, each -> array[place] = each }
                }
            }
            return part(0)
        }

        private fun refused() =
            KzooException("The model of $name refuses these tokens: ids of its own vocabulary were expected.")

        override fun output(name: String): ByteBuffer = room.getValue(name)
    }

    override fun close() {
        interpreter.close()
        delegate?.close() // Which the interpreter runs on until its end.
    }

    private companion object {
        /** What stands before the delegate's reason in a message of many lines. */
        const val REASON = "TfLiteGpuDelegate Init: "

        /** Of what a model may read. */
        val TYPES = mapOf(DataType.INT32 to "int32", DataType.UINT8 to "uint8", DataType.FLOAT32 to "float32")

        fun delegate(processor: Processor): GpuDelegate? = when (processor) {
            Processor.CPU -> null
            else -> gpu { GpuDelegate(GpuDelegateFactory.Options().setPrecisionLossAllowed(processor == Processor.GPU_FLOAT16)) }
        }

        fun threads() = minOf(4, maxOf(1, java.lang.Runtime.getRuntime().availableProcessors() / 2))
    }
}

/** Calls the delegate's classes; KzooException where their library can't be loaded. */
private fun <T> gpu(call: () -> T): T = try {
    call()
} catch (error: LinkageError) {
    throw KzooException("The library of the GPU's delegate can't be loaded on this device.")
}

/** What a phone has. */
object Device : Engines {
    /** TensorFlow Lite began at 1.15 for this interface and is at 2 since; LiteRT counts anew from 1. */
    override val runtime: Runtime by lazy {
        val version = TensorFlowLite.runtimeVersion()
        Runtime(if (version.startsWith("1.")) "litert" else "tflite", version)
    }

    override fun open(model: ByteBuffer, name: String, processor: Processor): Engine {
        if (processor != Processor.CPU && !hasKnownGpu) throw KzooException("The delegate of $runtime knows no GPU of this device's kind to be right.")
        return DeviceEngine(model, name, processor)
    }

    /** Whether the GPU is one that the delegate's makers have tried. */
    private val hasKnownGpu: Boolean by lazy { gpu { CompatibilityList().use { it.isDelegateSupportedOnThisDevice } } }
}
