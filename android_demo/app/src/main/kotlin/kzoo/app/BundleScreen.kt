package kzoo.app

import android.app.AlertDialog
import android.widget.LinearLayout
import android.widget.TextView
import kzoo.core.bundle.Manifest
import kzoo.core.bundle.Place
import kzoo.core.bundle.Processor
import kzoo.core.bundle.Runtime
import kzoo.core.bundle.Sense
import kzoo.core.task.BundleCheck
import kzoo.core.task.GoldenResult
import kzoo.core.task.Latency
import kzoo.core.task.Opened

/** What was found of a bundle on this device. */
class Checks(
    val manifest: Manifest,
    val place: Place,
    val bytes: Long,
    val report: Map<*, *>,
    val golden: List<GoldenResult>,
    val latencies: List<Latency>,
)

/** Says what a bundle is, and runs its golden examples on this device. */
class BundleScreen(activity: MainActivity) :
    Screen(activity, "bundle", R.layout.bundle, Sense.TEXT, null, R.string.made_any) {
    private val title: TextView = find(R.id.facts_title)
    private val facts: LinearLayout = find(R.id.facts)
    private val report: LinearLayout = find(R.id.report)
    private val golden: LinearLayout = find(R.id.golden)
    private val state: TextView = find(R.id.golden_state)
    private val latency: LinearLayout = find(R.id.latency)
    private val again: TextView = find(R.id.again)
    private val remove: TextView = find(R.id.remove)
    private val cards = listOf(R.id.facts_card, R.id.golden_card, R.id.report_card, R.id.latency_card)

    init {
        again.setOnClickListener {
            source?.let { app.checks.remove(it.id) }
            clear()
            refresh()
        }
        remove.setOnClickListener { source?.let(::askToRemove) }
    }

    override fun update() {
        val source = source ?: return
        remove.showIf(source.folder != null)
        app.checks[source.id]?.let { return show(it) }
        clear()
        answer(::measure) { found ->
            app.checks[source.id] = found
            show(found)
        }
    }

    private fun measure(opened: Opened, job: Worker.Job): List<Checks> {
        val count = opened.tasks.sumOf { it.bundle.manifest.golden.size }
        var run = 0
        val golden = opened.tasks.map { task ->
            val each = { _: GoldenResult ->
                val place = ++run
                progress(job, state) { activity.getString(R.string.golden_running, place, count) }
            }
            BundleCheck.run(task, each, job.isCancelled)
        }
        progress(job, state) { activity.getString(R.string.measuring) }
        return opened.tasks.zip(golden) { task, results ->
            Checks(task.bundle.manifest, task.place, task.bundle.bytes, task.bundle.report, results, Latency.measure(task, job.isCancelled))
        }
    }

    private fun show(found: List<Checks>) {
        clear()
        for (card in cards) find<LinearLayout>(card).showIf(true)
        again.showIf(true)
        title.text = source?.title
        found.forEach(::showFacts)
        showDevice(found)
        found.forEach { showReport(it.report) }
        find<LinearLayout>(R.id.report_card).showIf(report.childCount > 0)
        val results = found.flatMap { it.golden }
        val failed = results.count { !it.passed }
        val all = results.size
        state.text = if (failed == 0) activity.getString(R.string.golden_passed, all) else activity.getString(R.string.golden_failed, failed, all)
        state.setTextColor(activity.getColor(if (failed == 0) R.color.good else R.color.bad))
        for (result in results) {
            val verdict = result.reason ?: if (result.difference == 0.0) activity.getString(R.string.equal)
            else activity.getString(R.string.off_by, BundleCheck.percent(result.difference))
            check(golden, result.passed, result.golden.title, verdict)
        }
        found.forEach(::showLatency)
    }

    private fun showFacts(found: Checks) = with(found.manifest) {
        fact(facts, activity.getString(R.string.about_task), spaced(task))
        fact(facts, activity.getString(R.string.about_size), activity.getString(R.string.megabytes, number(found.bytes / 1e6, 1)))
        fact(facts, activity.getString(R.string.about_quantization), quantization)
        labels?.let { fact(facts, activity.getString(R.string.about_labels), it.joinToString(limit = MOST_LABELS)) }
        fact(facts, activity.getString(R.string.about_length), reads(this))
        val here = app.engines.runtime.name
        minimumRuntime[here]?.let { fact(facts, activity.getString(R.string.about_runtime), Runtime(here, it).toString()) }
    }

    /** What is here to run them. */
    private fun showDevice(found: List<Checks>) {
        fact(facts, activity.getString(R.string.about_runtime_here), app.engines.runtime.toString())
        for (words in found.map(::runsOn).distinct()) fact(facts, activity.getString(R.string.about_runs), words)
        for (refusal in found.mapNotNull { it.place.refusal }.distinct()) fact(facts, activity.getString(R.string.about_gpu), refusal)
    }

    /** What computes the model; of a GPU also what its delegate in TensorFlow Lite is known to leave to the processor. */
    private fun runsOn(found: Checks): String {
        val processor = found.place.processor
        val words = activity.getString(WORDS.getValue(processor))
        val left = found.manifest.leftToProcessor
        if (processor == Processor.CPU || left.isEmpty() || app.engines.runtime.name != "tflite") return words
        return activity.getString(R.string.on_both, words, left.entries.joinToString { "${it.value} ${it.key}" })
    }

    /** How much the model reads at once. */
    private fun reads(manifest: Manifest): String {
        val shape = manifest.functions.values.first().inputs.values.first()
        val length = manifest.length
        return when {
            manifest.options.reads.sense == Sense.IMAGE -> activity.getString(R.string.pixels, shape[2], shape[1])
            manifest.options.reads.sense == Sense.SOUND -> activity.getString(R.string.samples, number(shape[1].toDouble(), 0))
            length != null -> activity.getString(R.string.exactly, length)
            else -> activity.getString(R.string.at_most, manifest.maxLength)
        }
    }

    private fun showReport(found: Map<*, *>) {
        val evaluation = found["evaluation"] as? Map<*, *>
        val parity = found["parity"] as? Map<*, *>
        share(evaluation, "accuracy") { fact(report, activity.getString(R.string.about_accuracy, evaluation?.get("file")), it) }
        (evaluation?.get("accuracy_drop") as? Number)?.let {
            fact(report, activity.getString(R.string.about_drop), activity.getString(R.string.points, number(100 * it.toDouble(), 1)))
        }
        share(evaluation ?: parity, "label_agreement") { fact(report, activity.getString(R.string.about_agreement), it) }
        (parity?.get("cosine") as? Number)?.let { fact(report, activity.getString(R.string.about_cosine), number(it.toDouble(), 5)) }
    }

    private fun share(from: Map<*, *>?, key: String, show: (String) -> Unit) {
        (from?.get(key) as? Number)?.let { show(activity.getString(R.string.percent, percent(it.toDouble()))) }
    }

    private fun showLatency(found: Checks) {
        val there = found.report["latency"] as? Map<*, *>
        val lengths = (there?.get("lengths") as? List<*>).orEmpty().map { (it as? Number)?.toInt() }
        val times = (there?.get("file") as? List<*>).orEmpty().map { (it as? Number)?.toDouble() }
        for (measured in found.latencies) {
            val exported = times.getOrNull(lengths.indexOf(measured.tokens))
            val here = number(measured.milliseconds, 1)
            val one = when (found.manifest.options.reads.sense) {
                Sense.TEXT -> activity.resources.getQuantityString(R.plurals.tokens, measured.tokens, measured.tokens)
                Sense.IMAGE -> activity.getString(R.string.picture)
                Sense.SOUND -> activity.getString(R.string.sound)
            }
            val text = if (exported == null) activity.getString(R.string.milliseconds, here)
            else activity.getString(R.string.milliseconds_there, here, number(exported, 1))
            fact(latency, one, text)
        }
    }

    private fun askToRemove(source: Source) {
        val question = AlertDialog.Builder(activity)
            .setMessage(activity.getString(R.string.remove_sure, source.title))
            .setNegativeButton(R.string.cancel, null)
            .setPositiveButton(R.string.remove) { _, _ ->
                app.checks.remove(source.id)
                app.drafts.remove(source.id)
                app.worker.submit(
                    source,
                    {
                        app.tasks.close(source.id)
                        app.vectors.forget(source.id)
                        app.library.remove(source)
                    },
                    { app.activity?.listAgain() },
                    { error -> app.activity?.run { tell(sentence(error)) } },
                )
            }
        activity.show(question)
    }

    /** "TextClassifier" as "Text classifier". */
    private fun spaced(name: String) = name.replace(Regex("(?<=.)([A-Z])")) { " " + it.value.lowercase() }

    override fun clear() {
        for (card in cards) find<LinearLayout>(card).showIf(card == R.id.golden_card && source != null)
        facts.removeAllViews()
        report.removeAllViews()
        golden.removeAllViews()
        latency.removeAllViews()
        again.showIf(false)
        state.setTextColor(activity.getColor(R.color.text))
        state.text = source?.let { activity.getString(R.string.opening, it.title) }
    }

    private companion object {
        val WORDS = mapOf(
            Processor.CPU to R.string.on_cpu,
            Processor.GPU_FLOAT16 to R.string.on_gpu_float16,
            Processor.GPU_FLOAT32 to R.string.on_gpu_float32,
        )
        const val MOST_LABELS = 12
    }
}
