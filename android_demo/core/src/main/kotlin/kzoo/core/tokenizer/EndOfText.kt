package kzoo.core.tokenizer

private val END_TOKENS = listOf("<|endoftext|>", "</s>")

/**
 * The token that ends what is written, or null where none does.
 *
 * `special` is what a special_tokens_map.json says, or null where there is none.
 */
fun endOfText(tokenizer: Tokenizer, special: Map<*, *>?): Int? {
    val named = special?.get("eos_token") as? String
    return (if (named != null) listOf(named) else END_TOKENS).firstNotNullOfOrNull(tokenizer::id)
}
