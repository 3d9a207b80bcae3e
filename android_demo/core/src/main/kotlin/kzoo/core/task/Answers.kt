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
fun softmax(logits: FloatArray, from: Int = 0, to: Int = logits.size): DoubleArray = softmax(DoubleArray(to - from) { logits[from + it].toDouble() })

/** Softmax. */
fun softmax(logits: DoubleArray): DoubleArray {
    var largest = Double.NEGATIVE_INFINITY
    for (logit in logits) largest = maxOf(largest, logit)
    val raised = DoubleArray(logits.size) { exp(logits[it] - largest) }
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
 * A word is what the pre-tokenizer says is one, without the blanks around it. It has the label of its
 * first token, which is the one that learned. Words with the same kind of label in a row are one span,
 * unless a label says that a span begins ("B-"; "S-" and "U-" where single words have marks of their
 * own), see `labelParts`. "O" is no kind. The score of a span is the mean probability of its words'
 * labels.
 */
fun entities(text: String, logits: FloatArray, row: Row, labels: List<String>): List<Entity> {
    class Open(val label: String, val start: Int) {
        var end = start
        val scores = ArrayList<Double>()
    }

    val parts = labelParts(labels)
    val spans = ArrayList<Open>()
    var openKind: String? = null
    for (word in words(text, row)) {
        val scores = probabilities(logits, word.token * labels.size, (word.token + 1) * labels.size)
        val best = likeliest(scores)
        val (begins, kind) = parts[best]
        if (kind != "O") {
            if (kind != openKind || begins) spans.add(Open(kind, word.start))
            spans.last().end = word.end
            spans.last().scores.add(scores[best])
        }
        openKind = kind
    }
    return spans.map { Entity(it.label, it.scores.average(), it.start, it.end) }
}

/** What entities can be called, in the order of the labels: those without the marks of a scheme. */
fun kindsOf(labels: List<String>): List<String> = labelParts(labels).map { it.second }.distinct().filter { it != "O" }

/** Schemes that mark where a span begins, goes on, ends, or is a single word, by their letters. */
private val SCHEMES = listOf("BIES", "BILU", "BMES").map { scheme -> scheme.map { it.toString() }.toSet() }

/**
 * For each label whether it says that a span begins, and its kind: "B-PER" is (true, "PER").
 *
 * Labels have parts where they follow one of `SCHEMES` as a whole: each "X-kind" among them has a
 * letter of it; a span that is ended can begin (E, L and M of a kind stand beside its B); and the
 * letter of single words is one of a kind that has a B or an I as well. So "X-ray", "T-shirt",
 * "E-mail" and "U-turn" are whole names. X is one code point, of any length.
 */
internal fun labelParts(labels: List<String>): List<Pair<Boolean, String>> {
    val split = labels.map { label ->
        val mark = if (label.isEmpty()) 0 else Character.charCount(label.codePointAt(0))
        if (label.length > mark + 1 && label[mark] == '-') label.substring(0, mark) to label.substring(mark + 1) else null
    }
    val marks = split.filterNotNull().groupBy({ it.second }, { it.first }).mapValues { it.value.toSet() }
    val used = marks.values.flatten().toSet()
    fun goesOn(set: Set<String>) = "B" in set || "I" in set
    val follows = SCHEMES.any { it.containsAll(used) } &&
        marks.values.all { "B" in it || it.none { mark -> mark in "ELM" } } &&
        used.filter { it in "SU" }.all { single -> marks.values.any { single in it && goesOn(it) } }
    return labels.indices.map { place ->
        val parts = split[place]
        if (follows && parts != null) Pair(parts.first in "BSU", parts.second) else Pair(false, labels[place])
    }
}

/** Blanks (Unicode's White_Space). */
private val BLANK = listOf(
    '\u0009'..'\u000D', ' '..' ', '\u0085'..'\u0085', '\u00A0'..'\u00A0', '\u1680'..'\u1680', '\u2000'..'\u200A',
    '\u2028'..'\u2029', '\u202F'..'\u202F', '\u205F'..'\u205F', '\u3000'..'\u3000',
)

/** What is seen as little: control characters, the soft hyphen, zero-width and direction marks. */
private val INVISIBLE = listOf(
    '\u0000'..'\u0008', '\u000E'..'\u001F', '\u007F'..'\u0084', '\u0086'..'\u009F', '\u00AD'..'\u00AD', '\u061C'..'\u061C',
    '\u180E'..'\u180E', '\u200B'..'\u200F', '\u202A'..'\u202E', '\u2060'..'\u206F', '\uFEFF'..'\uFEFF',
)

/** Invisible within a word, such as Persian's. */
private const val JOINERS = "\u00AD\u200C\u200D\u2060\uFEFF"

private fun isBlank(char: Char) = BLANK.any { char in it }

private fun isSeen(char: Char) = !isBlank(char) && INVISIBLE.none { char in it }

/** A span of a text without blanks and invisible characters at its ends; at its end if it is empty. */
internal fun trimmed(text: String, start: Int, end: Int): Pair<Int, Int> {
    var from = start
    var to = end
    while (from < to && !isSeen(text[from])) from++
    while (from < to && !isSeen(text[to - 1])) to--
    return from to to
}

/** `start` is -1 until a token that is seen; `isSpace` says that the first token is one space. */
private class Word(val token: Int, var number: Int, var end: Int, val isSpace: Boolean) {
    var start = -1
}

/**
 * Each word's first token and its characters.
 *
 * A token of blanks alone, such as SentencePiece's space before a Chinese character, is the first of
 * the word that follows it: it is the first of that word in training, too.
 */
private fun words(text: String, row: Row): List<Word> {
    val words = ArrayList<Word>()
    for (token in 0 until row.tokens) {
        val first = row.starts[token]
        val last = row.ends[token]
        if (first < 0 || first > last) continue
        var (start, end) = trimmed(text, first, last)
        if (end == 0 && text.startsWith(' ')) { // Where trimming puts a byte-level space before everything.
            start = 1
            end = 1
        }
        val number = row.words[token]
        var word = words.lastOrNull()
        if (word == null || !joins(text, word, number, start)) {
            word = Word(token, number, end, end > 0 && text[end - 1] == ' ' && last - first <= 1)
            words.add(word)
        }
        if (start < end) {
            word.start = if (word.start < 0) start else minOf(word.start, start)
            word.end = maxOf(word.end, end)
            word.number = number
        }
    }
    return words.filter { it.start >= 0 }
}

/** Whether a token of the word `number` that is seen from `start` on goes on with `word`. */
private fun joins(text: String, word: Word, number: Int, start: Int): Boolean {
    val between = if (start > word.end) text.substring(word.end, start) else ""
    if (between.any(::isBlank)) return false
    if (start < word.end || number >= 0 && number == word.number) return true // One character's bytes overlap.
    if (word.start < 0) return word.isSpace
    if (between.isNotEmpty() && between.all { it in JOINERS }) return true
    return number == word.number && start < text.length &&
        isPartOfWord(text.codePointBefore(word.end)) && isPartOfWord(text.codePointAt(start))
}

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
