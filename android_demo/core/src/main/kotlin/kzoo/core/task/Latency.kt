package kzoo.core.task

/** How long a model takes on a row of tokens: the median of `rounds`, in milliseconds. */
class Latency(val tokens: Int, val milliseconds: Double) {
    companion object {
        private const val ROUNDS = 9

        /** By length, as the report has it; the first round of each warms up and doesn't count. */
        fun measure(task: Task, cancelled: () -> Boolean = { false }): List<Latency> {
            return task.lengths.map { length ->
                val times = DoubleArray(ROUNDS + 1) {
                    val start = System.nanoTime()
                    task.runOn(length, cancelled)
                    (System.nanoTime() - start) / 1e6
                }
                Latency(length, times.drop(1).sorted()[ROUNDS / 2])
            }
        }
    }
}
