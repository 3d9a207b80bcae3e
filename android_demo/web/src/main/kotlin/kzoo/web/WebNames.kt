package kzoo.web

import kzoo.core.json.Json
import kzoo.core.task.Names
import kzoo.core.task.NamesAsked
import org.teavm.jso.JSByRef
import org.teavm.jso.JSExport
import org.teavm.jso.JSObject
import org.teavm.jso.JSProperty

/** Labels of which only the names are known; JavaScript gives the vectors of their `texts`. */
class WebNames internal constructor(private val asked: NamesAsked, private val scale: Double) {
    private val vectors = arrayOfNulls<FloatArray>(asked.texts.size)
    private val names by lazy { Names(asked.labels, vectors.map { it!! }, scale) }

    @get:JSExport
    @get:JSProperty
    val texts: Array<String> get() = asked.texts.toTypedArray()

    @JSExport
    fun give(place: Int, @JSByRef vector: FloatArray) {
        vectors[place] = vector.copyOf()
    }

    /** The answer to a picture by its vector, see `answered`. */
    @JSExport
    fun of(@JSByRef picture: FloatArray): JSObject? = answered(names.of(picture).json())

    /** The same as `kzoo predict --json` has it, of a picture that is called so. */
    @JSExport
    fun json(image: String, @JSByRef picture: FloatArray): String = Json.write(mapOf("image" to image) + names.of(picture).json())
}
