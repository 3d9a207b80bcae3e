package kzoo.core.task

import kotlin.math.pow
import kzoo.core.tokenizer.Tokenizer

/**
 * A text that a beam search finds: of the texts that `numBeams` running ones end in, the likeliest by its
 * length, as kzoo/generation/decoding.py finds it.
 *
 * While it goes on, `text` and `tokenIds` are those of the likeliest running one, which may still become
 * another; all of the text is certain at the end.
 */
internal class Beams(
    private val steps: Steps,
    private val tokenizer: Tokenizer,
    promptTokens: Int,
    private val settings: Settings,
    called: String,
    private val prompt: IntArray,
    begin: (cancelled: () -> Boolean) -> FloatArray,
) : Writing(promptTokens, called, begin) {
    private val beams = settings.numBeams

    /** A text so far: its score is the sum of its tokens' log-probabilities, `held` what the model read of it. */
    private class Beam(val ids: IntArray, val score: Float, val held: Steps.Held?)

    /** One that has ended, by the score of its length. */
    private class Ended(val ids: IntArray, val score: Float)

    /** The running ones, the likeliest first. At first they are the same: only one may go on. */
    private var running = List(beams) { Beam(IntArray(0), if (it == 0) 0f else UNLIKELY, null) }
    private var ended = List(beams) { Ended(IntArray(0), UNLIKELY) }
    private var isOpen = true

    override val isGrowing get() = false
    override var tokens = 0
        private set
    override var tokenIds = IntArray(0)
        private set
    override var ending: Ending? = null
        private set
    override val text: String
        get() = TextStream(tokenizer).let { stream -> tokenIds.joinToString("", transform = stream::push) + (if (ending == null) "" else stream.close()) }

    override fun write(first: FloatArray?, cancelled: () -> Boolean): String {
        val read = if (first != null) {
            val held = steps.held()
            running.map { Beam(it.ids, it.score, held) to first }
        } else {
            running.map { beam ->
                steps.goOn(beam.held!!)
                val logits = steps.step(beam.ids.last(), cancelled)
                Beam(beam.ids, beam.score, steps.held()) to logits
            }
        }
        tokens++
        choose(read)
        return if (ending == null) "" else text
    }

    /** Lets the best continuations go on, and those that end compete with the ended ones of before. */
    private fun choose(read: List<Pair<Beam, FloatArray>>) {
        val size = steps.vocabulary
        val chances = FloatArray(beams * size)
        read.forEachIndexed { row, (beam, logits) ->
            val scores = settings.processed(Settings.logSoftmax(logits), prompt, beam.ids)
            for (id in 0 until size) chances[row * size + id] = scores[id] + beam.score
        }
        val top = largest(chances, beams * maxOf(2, 1 + settings.endTokenIds.size))
        val candidates = top.map { Beam(read[it / size].first.ids + it % size, chances[it], read[it / size].first.held) }
        val done = candidates.map { it.ids.last() in settings.endTokenIds || tokens == settings.maxNewTokens }
        val kept = largest(FloatArray(top.size) { candidates[it].score + (if (done[it]) UNLIKELY else 0f) }, beams)
        val length = tokens.toDouble().pow(settings.lengthPenalty).toFloat()
        end(candidates, done, length)
        val best = kept.first().let { candidates[it].score + (if (done[it]) UNLIKELY else 0f) }
        if (!mayImprove(best, length) || done.all { it }) return finish()
        running = kept.map { Beam(candidates[it].ids, candidates[it].score + (if (done[it]) UNLIKELY else 0f), candidates[it].held) }
        tokenIds = running.first().ids
    }

    private fun end(candidates: List<Beam>, done: List<Boolean>, length: Float) {
        val all = ended + candidates.mapIndexed { place, each ->
            var score = each.score / length
            if (!isOpen) score += UNLIKELY
            if (!done[place] || place >= beams) score += UNLIKELY
            Ended(each.ids, score)
        }
        ended = largest(FloatArray(all.size) { all[it].score }, beams).map { all[it] }
    }

    /** Whether a running one of this score may still get among the ended ones. */
    private fun mayImprove(best: Float, length: Float): Boolean {
        val farthest = settings.earlyStopping == EarlyStopping.NEVER && settings.lengthPenalty > 0
        val divisor = if (farthest) settings.maxNewTokens.toDouble().pow(settings.lengthPenalty).toFloat() else length
        val worst = ended.last().score
        isOpen = isOpen && best / divisor > worst
        if (settings.earlyStopping == EarlyStopping.YES) isOpen = isOpen && worst <= UNLIKELY / 2
        return isOpen
    }

    private fun finish() {
        tokenIds = ended.first().ids
        ending = if (tokenIds.lastOrNull() in settings.endTokenIds) Ending.END else Ending.LENGTH
        running = emptyList()
    }

    private companion object {
        /** What is added to the score of what isn't to be chosen. */
        const val UNLIKELY = -1e9f

        /** Where the largest values are, the largest first, of equal ones the first. */
        fun largest(values: FloatArray, count: Int): IntArray {
            val found = IntArray(minOf(count, values.size))
            var held = 0
            for (place in values.indices) {
                if (held == found.size && values[place] <= values[found[held - 1]]) continue
                var at = if (held < found.size) held++ else held - 1
                while (at > 0 && values[found[at - 1]] < values[place]) {
                    found[at] = found[at - 1]
                    at--
                }
                found[at] = place
            }
            return found
        }
    }
}
