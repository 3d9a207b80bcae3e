package kzoo.web

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kzoo.core.bundle.FunctionShapes
import kzoo.core.bundle.ModelFunction
import kzoo.core.json.Json
import org.teavm.jso.JSObject
import org.teavm.jso.JSProperty
import org.teavm.jso.typedarrays.Int8Array

/** A function of a model, as JavaScript has it: memory is an Int8Array where the runtime computes. */
interface WebFunction : JSObject {
    @get:JSProperty
    val name: String

    /** What it reads and gives, as JSON: {"inputs": {name: shape}, "outputs": {name: shape}}. */
    @get:JSProperty
    val shapes: String

    fun input(name: String): Int8Array

    fun run()

    fun output(name: String): Int8Array
}

/** The same for the core; its lengths are settled. */
internal class InJavaScript(private val function: WebFunction, shapes: FunctionShapes) : ModelFunction {
    override val inputs = shapes.inputs
    override val outputs = shapes.outputs

    override fun fit(length: Int) = Unit

    override fun input(name: String) = buffer(function.input(name))

    override fun run() = function.run()

    override fun output(name: String) = buffer(function.output(name))

    private fun buffer(memory: Int8Array): ByteBuffer = ByteBuffer.wrap(memory.toJavaArray()).order(ByteOrder.nativeOrder())

    companion object {
        /** A model's functions by their names. */
        fun of(functions: Array<WebFunction>) = functions.associate { it.name to InJavaScript(it, shapes(it)) }

        private fun shapes(function: WebFunction): FunctionShapes {
            val sides = Json.parse(function.shapes) as Map<*, *>
            fun side(name: String) = (sides[name] as Map<*, *>).entries.associate { (tensor, shape) ->
                tensor.toString() to (shape as List<*>).map { (it as Number).toInt() }.toIntArray()
            }
            return FunctionShapes(side("inputs"), side("outputs"))
        }
    }
}
