package kzoo.core.task

import kotlin.math.exp
import kotlin.math.ln
import kzoo.core.KzooException

/** When a beam search ends: once as many texts have ended as there are beams, once none can become better as long as it is now, or at any length. */
enum class EarlyStopping { YES, NO, NEVER }

/** How tokens are chosen and when there are enough of them, as kzoo/generation/options.py has it, but for draws and stop strings. */
class Settings(
    val maxNewTokens: Int,
    val minNewTokens: Int = 0,
    val numBeams: Int = 1,
    val lengthPenalty: Double = 1.0,
    val earlyStopping: EarlyStopping = EarlyStopping.NO,
    val repetitionPenalty: Double = 1.0,
    val noRepeatNgramSize: Int = 0,
    val endTokenIds: List<Int> = emptyList(),
    val forcedTokenIds: List<Int> = emptyList(),
    val endsAtLast: Boolean = false,
    val forbiddenTokenIds: List<Int> = emptyList(),
) {
    /** KzooException for what a model of so many tokens can't do. */
    fun check(vocabulary: Int) {
        for (id in endTokenIds + forcedTokenIds + forbiddenTokenIds) {
            if (id !in 0 until vocabulary) throw KzooException("Got the token $id; expected ids from 0 to ${vocabulary - 1}: export anew.")
        }
        if (numBeams < 1) throw KzooException("Got $numBeams beams; expected 1 at least, which is no beam search.")
        if (numBeams > 1 && maxOf(numBeams, 1 + endTokenIds.size) > vocabulary) {
            throw KzooException("Got $numBeams beams; expected no more than the $vocabulary tokens of the vocabulary: take fewer.")
        }
        if (maxNewTokens < 1) throw KzooException("Got $maxNewTokens new tokens; expected 1 at least.")
        if (forcedTokenIds.size >= maxNewTokens) {
            throw KzooException("Got $maxNewTokens new tokens, with ${forcedTokenIds.size} that stand before what is written: ask for more.")
        }
    }

    /** The scores of the next token after all that is asked for, in the order of kzoo/generation/logit_processors.py. */
    fun processed(scores: FloatArray, prompt: IntArray, written: IntArray): FloatArray {
        var changed = scores
        if (repetitionPenalty != 1.0) changed = penalised(changed, prompt, written)
        if (noRepeatNgramSize > 0) changed = without(changed, repeated(prompt + written))
        if (forbiddenTokenIds.isNotEmpty()) changed = without(changed, forbiddenTokenIds)
        if (written.size < minNewTokens) changed = without(changed, endTokenIds)
        forcedTokenIds.getOrNull(written.size)?.let { changed = only(changed, listOf(it)) }
        if (endsAtLast && written.size == maxNewTokens - 1) changed = only(changed, endTokenIds)
        if (changed.none { it > NEVER }) throw KzooException("The settings of the bundle forbid every token here: export it with others.")
        return changed
    }

    private fun penalised(scores: FloatArray, prompt: IntArray, written: IntArray): FloatArray {
        val penalty = repetitionPenalty.toFloat()
        val changed = scores.copyOf()
        for (id in (prompt + written).toSet()) changed[id] = if (scores[id] < 0) scores[id] * penalty else scores[id] / penalty
        return changed
    }

    /** The tokens that would complete so many in a row that are there already. */
    private fun repeated(ids: IntArray): List<Int> {
        val most = noRepeatNgramSize - 1
        if (ids.size < noRepeatNgramSize) return emptyList()
        val last = ids.size - most
        return (0 until ids.size - most).filter { start -> (0 until most).all { ids[start + it] == ids[last + it] } }.map { ids[it + most] }
    }

    private fun without(scores: FloatArray, ids: List<Int>) = scores.copyOf().also { for (id in ids) it[id] = NEVER }

    /** These are certain. */
    private fun only(scores: FloatArray, ids: List<Int>) = FloatArray(scores.size) { NEVER }.also { for (id in ids) it[id] = 0f }

    internal companion object {
        /** Of what may not come. */
        const val NEVER = Float.NEGATIVE_INFINITY

        fun logSoftmax(logits: FloatArray): FloatArray {
            val most = logits.max()
            var sum = 0.0
            for (each in logits) sum += exp((each - most).toDouble())
            val log = ln(sum).toFloat()
            return FloatArray(logits.size) { logits[it] - most - log }
        }
    }
}
