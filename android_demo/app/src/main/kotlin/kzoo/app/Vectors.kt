package kzoo.app

/** The vectors of the texts that were embedded last. Several threads may ask. */
class Vectors {
    private val kept = object : LinkedHashMap<Pair<String, String>, FloatArray>(64, 0.75f, true) {
        override fun removeEldestEntry(eldest: MutableMap.MutableEntry<Pair<String, String>, FloatArray>) = size > MOST
    }

    @Synchronized
    fun get(bundle: String, text: String): FloatArray? = kept[bundle to text]

    @Synchronized
    fun put(bundle: String, text: String, vector: FloatArray) {
        kept[bundle to text] = vector
    }

    /** A bundle is gone; another may have its name tomorrow. */
    @Synchronized
    fun forget(bundle: String) {
        kept.keys.removeAll { it.first == bundle }
    }

    @Synchronized
    fun clear() = kept.clear()

    private companion object {
        const val MOST = 4000
    }
}
