package kzoo.core.task

import kotlin.math.sqrt
import kzoo.core.KzooException
import kzoo.core.bundle.Problem

/** Labels of which only the names are known, and the texts that are read for them: for each label those of all templates. */
class NamesAsked private constructor(val labels: List<String>, val texts: List<String>) {
    companion object {
        /** The template of labels that are texts themselves. */
        private val ALONE = listOf("{}")

        /**
         * Labels and templates that were asked for; a bundle's own, `ownLabels` in `ownTemplates`, where none were. Other
         * labels are read as they are, where no templates are given. `name` and `task` are the bundle's, for an error.
         */
        fun of(
            labels: List<String>?, templates: List<String>?, ownLabels: List<String>?, ownTemplates: List<String>, name: String, task: String,
        ): NamesAsked {
            val names = labels ?: ownLabels.orEmpty()
            if (names.isEmpty()) {
                throw KzooException(
                    "Got no labels for $name, whose $task has none of its own; expected some: on the command line, --label for each.",
                )
            }
            if (names.toSet().size < names.size) throw KzooException("Got the labels ${names.joinToString().take(80)}; expected each once.")
            val around = templates.orEmpty().ifEmpty { if (labels == null) ownTemplates else ALONE }
            return NamesAsked(names, names.flatMap { label -> around.map { it.replace("{}", label) } })
        }
    }
}

/** Labels by the vectors of `NamesAsked.texts`, each of length one; `scale` is what cosines are multiplied by before a softmax. */
class Names(private val labels: List<String>, vectors: List<FloatArray>, private val scale: Double) {
    private val centres = vectors.chunked(vectors.size / labels.size).map(::centre)

    /** How likely each label is for a picture, by its vector of length one. */
    fun of(picture: FloatArray): Classification {
        val scores = softmax(DoubleArray(labels.size) { label -> scale * picture.indices.sumOf { picture[it] * centres[label][it] } })
        return Classification(Problem.SINGLE_LABEL, listOf(labels[likeliest(scores)]), labels.zip(scores.asList()))
    }

    /** The mean of vectors, at length one (arXiv:2103.00020, section 3.1.4). */
    private fun centre(vectors: List<FloatArray>): DoubleArray {
        val mean = DoubleArray(vectors[0].size) { place -> vectors.sumOf { it[place].toDouble() } / vectors.size }
        val length = maxOf(sqrt(mean.sumOf { it * it }), 1e-12)
        return DoubleArray(mean.size) { mean[it] / length }
    }
}
