package kzoo.desktop

import kzoo.core.KzooException

/** Arguments taken apart: `plain` are those that are no option. `wrong` is the error for what nobody expects. */
internal class Arguments private constructor(
    val plain: List<String>, private val options: Map<String, List<String>>, val wrong: (String) -> KzooException,
) {
    fun has(option: String) = option in options

    /** Every value of an option, null where it wasn't given. */
    fun all(option: String): List<String>? = options[option]

    fun last(option: String): String? = all(option)?.last()

    /** A number of things, of which one is the least. */
    fun count(option: String): Int? = last(option)?.let { value ->
        value.toIntOrNull()?.takeIf { it >= 1 } ?: throw KzooException("Got $option $value; expected a whole number of at least 1.")
    }

    companion object {
        /** `flags` stand alone, behind each of `valued` stands its value; after `--` nothing is an option. */
        fun of(arguments: List<String>, flags: Set<String>, valued: Set<String>, wrong: (String) -> KzooException): Arguments {
            val plain = ArrayList<String>()
            val options = LinkedHashMap<String, ArrayList<String>>()
            val each = arguments.iterator()
            while (each.hasNext()) {
                val argument = each.next()
                when {
                    argument == "--" -> each.forEachRemaining { plain.add(it) }
                    argument in valued -> {
                        if (!each.hasNext()) throw KzooException("Got $argument and nothing behind it; expected its value there.")
                        options.getOrPut(argument) { ArrayList() }.add(each.next())
                    }
                    argument in flags -> options.getOrPut(argument) { ArrayList() }
                    argument.startsWith("--") -> throw wrong(argument)
                    else -> plain.add(argument)
                }
            }
            return Arguments(plain, options, wrong)
        }
    }
}

/** Where Java read the arguments by a locale without some letter, those came as other ones; `instead` is another way to give the text. */
internal fun checkReadable(text: String, instead: String = "") {
    if (text.any { it.code > 127 } && !readsUnicode()) {
        throw KzooException(
            "Got a text with letters that the locale's encoding lacks, by which Java reads arguments: set LC_ALL=C.UTF-8, say$instead.",
        )
    }
}
