package kzoo.desktop

import kzoo.core.KzooException
import kzoo.core.json.Json
import kzoo.core.search.DocumentIndex
import kzoo.core.search.Reranker
import kzoo.core.task.Task

/**
 * `search INDEX [QUERY...]`: the documents of an index of `kzoo index` that answer each query best, or each line of standard input,
 * a JSON object a query. `--model` and `--second` name the bundles that it was made by, where they lie elsewhere now; `--reranker`
 * one that ranks what the first stage leaves, `--candidates` documents, 0 for all.
 */
internal fun search(arguments: List<String>): Int {
    val valued = setOf("--model", "--second", "--reranker", "--top", "--candidates")
    val given = Arguments.of(arguments, setOf("--json"), valued) { wrong ->
        KzooException("search takes an index, queries, and ${valued.joinToString()}; $wrong came.")
    }
    if (given.plain.isEmpty()) throw given.wrong("no index")
    val folder = existing(given.plain[0])
    val queries = given.plain.drop(1).onEach { checkReadable(it, ", or give it on standard input") }.asSequence()
        .ifEmpty { lines(System.`in`).ifEmpty { throw KzooException("No query came: an argument, or lines on standard input are expected.") } }
    val (top, asked) = (given.count("--top") ?: 5) to given.last("--candidates")
    val candidates = if (asked == "0") null else given.count("--candidates") ?: DocumentIndex.CANDIDATES
    val sources = DocumentIndex.sources(folder).zip(listOf("--model", "--second")) { source, option ->
        given.last(option) ?: source ?: throw KzooException("$folder doesn't say where its model lies; expected $option BUNDLE.")
    }
    val open = ArrayList<Task>()
    try {
        for (source in sources + listOfNotNull(given.last("--reranker"))) open.add(openTask(existing(source)))
        val index = DocumentIndex.open(folder, open.take(sources.size))
        val reranker = open.getOrNull(sources.size)?.let(::Reranker)
        System.out.bufferedWriter(Charsets.UTF_8).use { out ->
            for (query in queries) {
                val found = index.search(query, top, candidates, reranker).map {
                    mapOf("index" to it.place, "score" to it.similarity, "text" to it.text, "id" to index.documents[it.place].id)
                }
                out.write(Json.write(mapOf("query" to query, "found" to found)) + "\n")
            }
        }
    } finally {
        open.forEach { it.close() }
    }
    return 0
}
