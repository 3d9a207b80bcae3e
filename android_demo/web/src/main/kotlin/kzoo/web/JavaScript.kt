package kzoo.web

import org.teavm.jso.JSObject
import org.teavm.jso.core.JSArray
import org.teavm.jso.core.JSBoolean
import org.teavm.jso.core.JSMapLike
import org.teavm.jso.core.JSNumber
import org.teavm.jso.core.JSObjects
import org.teavm.jso.core.JSString

/** What JSON can hold, as JavaScript's own objects. */
internal fun javaScript(value: Any?): JSObject? = when (value) {
    null -> null
    is Map<*, *> -> JSObjects.create<JSMapLike<JSObject?>>().also { made ->
        for ((name, item) in value) made.set(name.toString(), javaScript(item))
    }
    is List<*> -> JSArray<JSObject?>().also { made -> for (item in value) made.push(javaScript(item)) }
    is Boolean -> JSBoolean.valueOf(value)
    is Number -> JSNumber.valueOf(value.toDouble())
    else -> JSString.valueOf(value.toString())
}
