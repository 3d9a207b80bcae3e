package kzoo.desktop

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kzoo.core.KzooException
import kzoo.core.bundle.Column
import kzoo.core.bundle.Engine
import kzoo.core.bundle.Ids
import kzoo.core.bundle.Levels
import kzoo.core.bundle.ModelFunction
import kzoo.core.bundle.Runtime
import kzoo.core.bundle.Samples
import kzoo.core.bundle.Tensor
import org.bytedeco.javacpp.BytePointer
import org.bytedeco.javacpp.FloatPointer
import org.bytedeco.javacpp.IntPointer
import org.bytedeco.javacpp.Pointer
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithXNNPACK
import org.bytedeco.tensorflowlite.FlatBufferModel
import org.bytedeco.tensorflowlite.Interpreter
import org.bytedeco.tensorflowlite.InterpreterBuilder
import org.bytedeco.tensorflowlite.StringIntMap
import org.bytedeco.tensorflowlite.TfLiteTensor
import org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteVersion
import org.bytedeco.tensorflowlite.global.tensorflowlite.kTfLiteFloat32
import org.bytedeco.tensorflowlite.global.tensorflowlite.kTfLiteInt32
import org.bytedeco.tensorflowlite.global.tensorflowlite.kTfLiteUInt8

/**
 * TensorFlow Lite for a desktop JVM, by its C++ interface with XNNPACK: the kernels that Python and
 * Android use.
 *
 * `model` is a direct buffer; `name` is what the bundle is called in an error.
 */
class DesktopEngine(model: ByteBuffer, private val name: String, threads: Int = 1) : Engine {
    override val runtime = RUNTIME
    override val functions: Map<String, ModelFunction>
    override val inputs: Set<String> by lazy { interpreter.signature_inputs(signature).use(::names) }
    private val outputs: Set<String> by lazy { interpreter.signature_outputs(signature).use(::names) }
    private val signature: String by lazy {
        functions.keys.singleOrNull() ?: throw KzooException("$name/model.tflite has ${functions.size} signatures; one was expected.")
    }
    private val data = BytePointer(model.duplicate().apply { rewind() }) // Read for as long as the model lives.
    private val graph: FlatBufferModel
    private val resolver = BuiltinOpResolverWithXNNPACK(true)
    private val interpreter = Interpreter(null as Pointer?)
    private var length = -1

    init {
        graph = FlatBufferModel.VerifyAndBuildFromBuffer(data, model.capacity().toLong()).takeIf { it != null && !it.isNull }
            ?: throw KzooException("$name/model.tflite is no model that $RUNTIME reads: export anew.")
        val status = InterpreterBuilder(graph, resolver).use { it.apply(interpreter, threads) }
        if (status != 0 || interpreter.isNull) {
            throw KzooException("$name/model.tflite has operators that $RUNTIME doesn't know: take a newer runtime.")
        }
        val keys = interpreter.signature_keys()
        functions = (0 until keys.size()).map { keys.get(it).string }.associateWith(::InPlace)
        for (input in if (functions.size == 1) inputs else emptySet()) {
            if (input(input).type() !in TYPES) {
                throw KzooException("$name/model.tflite reads $input that is no ${TYPES.values.joinToString()}: export anew.")
            }
        }
    }

    override fun run(inputs: Map<String, Column>): Map<String, Tensor> {
        val runner = interpreter.GetSignatureRunner(signature)
        val asked = inputs.values.firstOrNull { it is Ids }?.size ?: 0
        fun need(status: Int) {
            if (status == 0) return
            length = -1
            throw KzooException(
                if (asked == 0) "The model of $name can't be run on ${inputs.keys.joinToString()}: export anew."
                else "The model of $name refuses these $asked tokens: ids of its own vocabulary, and no more tokens than it " +
                    "has places, were expected.",
            )
        }
        if (asked != length) {
            for ((input, column) in inputs) if (column is Ids) need(runner.ResizeInputTensor(input, intArrayOf(1, asked)))
            need(runner.AllocateTensors())
            length = asked
        }
        for ((input, column) in inputs) fill(input, column)
        need(runner.Invoke())
        return outputs.associateWith { output ->
            val tensor = runner.output_tensor(output)
            if (tensor.type() != kTfLiteFloat32) throw KzooException("The model of $name gives $output that is no float32: export anew.")
            val shape = IntArray(tensor.dims().size()) { tensor.dims().data(it) }
            val values = FloatArray((tensor.bytes() / 4).toInt())
            FloatPointer(tensor.data().data()).get(values)
            Tensor(shape, values)
        }
    }

    private fun fill(name: String, column: Column) {
        val tensor = input(name)
        val memory = tensor.data().data()
        val (type, bytes) = TYPES[tensor.type()] to tensor.bytes()
        if (type != column.type || bytes != column.size * (if (column is Levels) 1L else 4L)) {
            throw KzooException("The model of ${this.name} reads $name of $bytes bytes of $type, not ${column.size} of ${column.type}: export anew.")
        }
        when (column) {
            is Ids -> IntPointer(memory).put(column.values, 0, column.size)
            is Levels -> BytePointer(memory).put(column.values, 0, column.size)
            is Samples -> FloatPointer(memory).put(column.values, 0, column.size)
        }
    }

    /** A function with the memory that TensorFlow Lite computes in. */
    private inner class InPlace(signature: String) : ModelFunction {
        private val runner = interpreter.GetSignatureRunner(signature)
        override val inputs = interpreter.signature_inputs(signature).use(::names).associateWith { shape(runner.input_tensor(it)) }
        override val outputs = interpreter.signature_outputs(signature).use(::names).associateWith { shape(runner.output_tensor(it)) }
        private var length = -1

        override fun fit(length: Int) {
            if (this.length == length || this.length > 0 && inputs.values.all { -1 !in it }) return
            this.length = -1
            for ((input, shape) in inputs) {
                if (-1 !in shape) continue
                need(runner.ResizeInputTensor(input, IntArray(shape.size) { if (shape[it] == -1) length else shape[it] }))
            }
            need(runner.AllocateTensors())
            this.length = length
            for (input in inputs.keys) {
                val memory = input(input).asIntBuffer()
                while (memory.hasRemaining()) memory.put(0)
            }
        }

        override fun input(name: String) = memory(runner.input_tensor(name))

        override fun run() = need(runner.Invoke())

        override fun output(name: String) = memory(runner.output_tensor(name))

        private fun need(status: Int) {
            if (status != 0) throw KzooException("The model of $name refuses these tokens: ids of its own vocabulary were expected.")
        }

        private fun memory(tensor: TfLiteTensor): ByteBuffer =
            BytePointer(tensor.data().data()).capacity(tensor.bytes()).asByteBuffer().order(ByteOrder.nativeOrder())

        /** With -1 where any number may stand. */
        private fun shape(tensor: TfLiteTensor): IntArray {
            val open = tensor.dims_signature()
            val dims = if (open == null || open.isNull || open.size() == 0) tensor.dims() else open
            return IntArray(dims.size()) { dims.data(it) }
        }
    }

    private fun names(map: StringIntMap): Set<String> {
        val names = LinkedHashSet<String>()
        val each = map.begin()
        while (!each.equals(map.end())) {
            names.add(each.first())
            each.increment()
        }
        return names
    }

    private fun input(name: String): TfLiteTensor = interpreter.input_tensor_by_signature(name, signature)

    override fun close() {
        interpreter.close()
        resolver.close()
        graph.close()
        data.close()
    }

    companion object {
        /** Of what a model may read, by how TensorFlow Lite numbers them. */
        private val TYPES = mapOf(kTfLiteInt32 to "int32", kTfLiteUInt8 to "uint8", kTfLiteFloat32 to "float32")

        /** What runs here, to hold a bundle's minimum against. */
        val RUNTIME = Runtime("tflite", TfLiteVersion().string)
    }
}
