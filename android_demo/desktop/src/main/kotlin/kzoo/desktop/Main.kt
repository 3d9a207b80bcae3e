@file:JvmName("Main")

package kzoo.desktop

import kzoo.core.KzooException
import kotlin.system.exitProcess

/** A command: its arguments, and what it returns to the shell. */
private class Command(val usage: String, val run: (List<String>) -> Int)

private val commands = mapOf(
    "encode" to Command("TOKENIZER.json [--json] [--pairs] [--plain] [--time] < lines.txt", ::encode),
    "generate" to Command("BUNDLE [PROMPT] [--max-new-tokens N] [--num-beams N] [--target-language CODE] [< prompt.txt]", ::generate),
    "predict" to Command(
        "BUNDLE [--pairs] < lines.txt, or BUNDLE FILE... where it reads pictures or sounds, with --label TEXT or --search TEXT [--top N] " +
            "where it holds two towers",
        ::predict,
    ),
    "search" to Command(
        "INDEX [QUERY...] [--model BUNDLE] [--second BUNDLE] [--reranker BUNDLE] [--top N] [--candidates N] [< lines.txt]", ::search,
    ),
    "verify" to Command("BUNDLE [--runtime tflite-2.16.1]", ::verify),
)

fun main(arguments: Array<String>) {
    exitProcess(run(arguments.toList()))
}

private fun run(arguments: List<String>): Int {
    val command = commands[arguments.firstOrNull()]
    if (command == null) {
        val stream = if (arguments == listOf("--help")) System.out else System.err
        stream.println("usage: java -jar kzoo-desktop.jar COMMAND")
        commands.forEach { (name, each) -> stream.println("  $name ${each.usage}") }
        return if (stream === System.out) 0 else 2
    }
    return try {
        command.run(arguments.drop(1))
    } catch (error: KzooException) {
        System.err.println("error: ${error.message}")
        2
    } catch (error: OutOfMemoryError) {
        System.err.println("error: Not enough memory: give Java more with -Xmx, or it less to read.")
        2
    }
}
