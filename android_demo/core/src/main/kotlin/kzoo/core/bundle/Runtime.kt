package kzoo.core.bundle

/**
 * What runs a model: TensorFlow Lite ("tflite") or its successor LiteRT ("litert"), which count
 * their versions apart.
 */
class Runtime(val name: String, val version: String) {
    /** Whether this one is as new as a version; where it can't be told, running it will show. */
    fun reaches(minimum: String): Boolean {
        val mine = numbers(version) ?: return true
        val asked = numbers(minimum) ?: return true
        for (place in 0 until maxOf(mine.size, asked.size)) {
            val difference = (mine.getOrNull(place) ?: 0) - (asked.getOrNull(place) ?: 0)
            if (difference != 0) return difference > 0
        }
        return true
    }

    private fun numbers(version: String): List<Int>? {
        val plain = version.takeWhile { it.isDigit() || it == '.' }.trim('.')
        return plain.split('.').map { it.toIntOrNull() ?: return null }
    }

    override fun toString() = (TITLES[name] ?: name) + " " + version

    companion object {
        /** What users call the two. */
        val TITLES = mapOf("tflite" to "TensorFlow Lite", "litert" to "LiteRT")
    }
}
