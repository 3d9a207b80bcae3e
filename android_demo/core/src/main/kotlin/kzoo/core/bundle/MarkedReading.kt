package kzoo.core.bundle

/**
 * A way in which texts are read that are compared token by token, as the task option `readings` says: with the token `markerId`
 * behind the first special ones, in rows of `length` tokens at most, which `fillId` fills up, where it isn't null; others look at
 * what fills where `attendToFill` says so. A place that doesn't count has a vector of zeros from the model itself.
 */
class MarkedReading(val name: String, val markerId: Int, val length: Int, val fillId: Int?, val attendToFill: Boolean) {
    companion object {
        /** Those of a manifest, none where it has none. `wrong` throws, for the name of what is of a kind that nobody reads. */
        internal fun read(given: Any?, wrong: (String) -> Nothing): List<MarkedReading> {
            val ways = given ?: return emptyList()
            return (ways as? List<*> ?: wrong("readings")).map { way ->
                val fields = way as? Map<*, *> ?: wrong("readings")
                fun whole(key: String, least: Int) =
                    (fields[key] as? Long)?.takeIf { it in least..Int.MAX_VALUE.toLong() }?.toInt() ?: wrong("readings")
                MarkedReading(
                    fields["name"] as? String ?: wrong("readings"),
                    whole("marker_id", 0),
                    whole("length", 1),
                    fields["fill_id"]?.let { whole("fill_id", 0) },
                    fields["attend_to_fill"] as? Boolean ?: wrong("readings"),
                )
            }
        }
    }
}
