package kzoo.core.task

import kotlin.math.exp
import kzoo.core.unicode.Unicode

/*
 * From raw outputs to what a user asked for, by the rules of kzoo/answers.py. Places in texts are
 * UTF-16 units here, which Android's spans count in.
 */

/** A span of a text that is something. */
class Entity(val label: String, val score: Double, val start: Int, val end: Int)

/**
 * A span of a text that answers a question; empty where nothing does. `logit` is the sum of the
 * logits of its start and its end.
 */
class Span(val start: Int, val end: Int, val score: Double, val logit: Double)

/** Softmax in double precision; a sigmoid where there is one logit. */
fun probabilities(logits: FloatArray, from: Int = 0, to: Int = logits.size): DoubleArray {
    if (to - from == 1) return doubleArrayOf(1 / (1 + exp(-logits[from].toDouble())))
    return softmax(logits, from, to)
}

/** Softmax over a part of an array, in double precision. */
fun softmax(logits: FloatArray, from: Int = 0, to: Int = logits.size): DoubleArray {
    var largest = Double.NEGATIVE_INFINITY
    for (place in from until to) largest = maxOf(largest, logits[place].toDouble())
    val raised = DoubleArray(to - from) { exp(logits[from + it].toDouble() - largest) }
    val sum = raised.sum()
    for (place in raised.indices) raised[place] /= sum
    return raised
}

/** The place of the largest number; the first of equals. */
fun likeliest(scores: DoubleArray): Int {
    var best = 0
    for (place in scores.indices) if (scores[place] > scores[best]) best = place
    return best
}

/**
 * The spans of a text that are something, by logits of labels for its tokens.
 *
 * A word has the label of its first token, which is the one that learned; it ends with the last of
 * its tokens. Words with the same kind of label in a row are one span, unless a label says that a
 * span begins ("B-"; "S-" and "U-" where single words have marks of their own). "O" is no kind. The
 * score of a span is the mean probability of its words' labels.
 */
fun entities(text: String, logits: FloatArray, row: Row, labels: List<String>): List<Entity> {
    class Open(val label: String, val start: Int) {
        var end = start
        val scores = ArrayList<Double>()
    }

    val spans = ArrayList<Open>()
    var openKind: String? = null
    for (word in words(text, row)) {
        val scores = probabilities(logits, word.token * labels.size, (word.token + 1) * labels.size)
        val best = likeliest(scores)
        val label = labels[best]
        val marked = label.length > 2 && label[1] == '-'
        val kind = if (marked) label.substring(2) else label
        if (kind != "O") {
            if (kind != openKind || marked && label[0] in "BSU") spans.add(Open(kind, word.start))
            spans.last().end = word.end
            spans.last().scores.add(scores[best])
        }
        openKind = kind
    }
    return spans.map { Entity(it.label, it.scores.average(), it.start, it.end) }
}

/** What entities can be called, in the order of the labels: those without the marks of a scheme. */
fun kindsOf(labels: List<String>): List<String> =
    labels.map { if (it.length > 2 && it[1] == '-') it.substring(2) else it }.distinct().filter { it != "O" }

private class Word(val token: Int, val start: Int, var end: Int)

private fun words(text: String, row: Row): List<Word> {
    val words = ArrayList<Word>()
    for (token in 0 until row.tokens) {
        val start = row.starts[token]
        val end = row.ends[token]
        if (start < 0 || start >= end) continue
        val last = words.lastOrNull()
        // Tokens of one character's bytes overlap; the pieces of a word meet within it.
        if (last != null && (start < last.end || start == last.end && within(text, start))) {
            last.end = maxOf(last.end, end)
        } else {
            words.add(Word(token, start, end))
        }
    }
    return words
}

/** Whether the characters on both sides of a place belong to one word. */
private fun within(text: String, place: Int) =
    isPartOfWord(text.codePointBefore(place)) && isPartOfWord(text.codePointAt(place))

/**
 * Letters, marks and numbers, none Chinese: of those each is a word of its own.
 *
 * By core's tables, the same on every phone. Marks are what is left of the characters of words.
 * Beside Python 3.11 this differs on what Unicode 14 had not assigned, and on U+111C9.
 */
private fun isPartOfWord(codePoint: Int): Boolean =
    CHINESE.none { codePoint in it } &&
        (Unicode.isLetter(codePoint) || Unicode.isNumber(codePoint) || Unicode.isWord(codePoint) && isMark(codePoint))

private fun isMark(ofWord: Int) = !Unicode.isPunctuation(ofWord) && NO_MARKS.none { ofWord in it }

/** Joiners, and letters in circles and squares, which are symbols. */
private val NO_MARKS = listOf(
    0x200C..0x200D, 0x24B6..0x24E9, 0x1F130..0x1F149, 0x1F150..0x1F169, 0x1F170..0x1F189,
)

private val CHINESE = listOf(
    0x4E00..0x9FFF, 0x3400..0x4DBF, 0x20000..0x2A6DF, 0x2A700..0x2CEAF, 0xF900..0xFAFF, 0x2F800..0x2FA1F,
)

/** Tokens; as in arXiv:1810.04805's SQuAD code. */
private const val LONGEST_ANSWER = 30

/**
 * The likeliest span over the characters of one window, or null where it has none.
 *
 * Its score is the probability of its first token as the start times that of its last token as the
 * end, each a softmax over the tokens of the window.
 */
fun span(startLogits: FloatArray, endLogits: FloatArray, row: Row, longest: Int = LONGEST_ANSWER): Span? {
    val starts = softmax(startLogits, 0, row.tokens)
    val ends = softmax(endLogits, 0, row.tokens)
    var best: Span? = null
    for (first in 0 until row.tokens) {
        if (row.starts[first] < 0 || row.starts[first] >= row.ends[first]) continue
        for (last in first until minOf(first + longest, row.tokens)) {
            if (row.starts[last] < 0 || row.starts[last] >= row.ends[last]) continue
            val score = starts[first] * ends[last]
            if (best == null || score > best.score) {
                best = Span(row.starts[first], row.ends[last], score, startLogits[first].toDouble() + endLogits[last])
            }
        }
    }
    return best
}

/** The place where a window points that holds no answer, its first token, as an empty span. */
fun nothing(startLogits: FloatArray, endLogits: FloatArray, row: Row): Span {
    val score = softmax(startLogits, 0, row.tokens)[0] * softmax(endLogits, 0, row.tokens)[0]
    return Span(0, 0, score, startLogits[0].toDouble() + endLogits[0])
}
