package kzoo.app

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.Ids
import kzoo.core.bundle.MANIFEST
import kzoo.core.bundle.Processor
import kzoo.core.bundle.Samples
import kzoo.core.task.BundleCheck
import kzoo.core.task.Task
import kzoo.desktop.DesktopEngine
import kzoo.desktop.DesktopPictures
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Before
import org.junit.Test

/** The app's own engine on Android's native library, as a phone with an x86-64 processor runs it. */
class DeviceEngineTest {
    @Before
    fun load() {
        assumeTrue(AndroidLibrary.missing, AndroidLibrary.missing == null)
    }

    @Test
    fun `golden examples of every task pass, and of the bundle that the APK holds`() {
        val small = File(System.getProperty("small")).listFiles { file -> File(file, MANIFEST).isFile }!!
        assertTrue(small.size >= 12)
        for (folder in small.toList() + File(System.getProperty("older"))) {
            val bundle = Bundle.open(FolderFiles(folder), Device.runtime)
            Task.of(bundle, Device.open(bundle.model(), bundle.name), DesktopPictures).use { task ->
                BundleCheck.run(task).forEach { assertTrue("${folder.name}, ${it.golden.title}: ${it.reason}", it.passed) }
            }
        }
    }

    @Test
    fun `outputs are the desktop engine's at every length`() {
        val model = model("entities")
        DesktopEngine(model, "entities").use { desktop ->
            Device.open(model, "entities").use { device ->
                assertEquals(desktop.inputs, device.inputs)
                for (length in listOf(3, 200, 1, 17)) {
                    val row = row(device.inputs, IntArray(length) { 2000 + 47 * it })
                    val there = desktop.run(row)
                    for ((name, found) in device.run(row)) {
                        assertArrayEquals(there.getValue(name).shape, found.shape)
                        assertArrayEquals(there.getValue(name).values, found.values, 1e-4f)
                    }
                }
            }
        }
    }

    @Test
    fun `what the model can't take is a sentence, and the next text is read`() {
        Device.open(model("entities"), "entities").use { device ->
            for (ids in listOf(IntArray(201) { 2000 }, intArrayOf(101, 30_522, 102), intArrayOf(-1))) {
                val error = assertThrows(KzooException::class.java) { device.run(row(device.inputs, ids)) }
                assertTrue(error.message!!, error.message!!.startsWith("The model of entities refuses these ${ids.size} tokens"))
                device.run(row(device.inputs, intArrayOf(101, 2000, 102)))
            }
        }
        val noise = ByteBuffer.allocateDirect(1000).put(ByteArray(1000) { (it * 31).toByte() })
        val error = assertThrows(KzooException::class.java) { Device.open(noise, "noise") }
        assertTrue(error.message!!, error.message!!.startsWith("noise/model.tflite is no model that TensorFlow Lite 2.16.1 reads"))
    }

    @Test
    fun `a GPU that this machine plays computes what the processor does`() {
        assumeTrue(AndroidLibrary.missingGpu, AndroidLibrary.missingGpu == null)
        val bytes = File(System.getProperty("small"), "files/convolution.tflite").readBytes()
        val model = ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder()).put(bytes)
        val row = mapOf("images" to Samples(FloatArray(16 * 16 * 3) { it % 7 / 7f }))
        val expected = Device.open(model, "convolution").use { it.run(row).getValue("logits").values }
        for ((processor, most) in listOf(Processor.GPU_FLOAT16 to 1e-2f, Processor.GPU_FLOAT32 to 1e-5f)) {
            DeviceEngine(model, "convolution", processor).use { device ->
                assertEquals(processor, device.place.processor)
                repeat(2) { assertArrayEquals(expected, device.run(row).getValue("logits").values, most) }
                device.close()
                assertEquals(0L, device.delegate!!.nativeHandle)
            }
        }
        val refused = assertThrows(KzooException::class.java) { DeviceEngine(model("entities_fixed"), "fixed", Processor.GPU_FLOAT16) }
        assertTrue(refused.message!!, refused.message!!.startsWith("The GPU's delegate of TensorFlow Lite 2.16.1 refuses fixed/model.tflite"))
    }

    @Test
    fun `a file for the GPU runs on one, and its golden examples pass there`() {
        assumeTrue(AndroidLibrary.missingGpu, AndroidLibrary.missingGpu == null)
        assumeTrue(AndroidLibrary.missingOpenCl, AndroidLibrary.missingOpenCl == null)
        for ((name, processor) in listOf("digits_for_gpu" to Processor.GPU_FLOAT16, "classifier_for_gpu" to Processor.GPU_FLOAT32)) {
            val bundle = Bundle.open(FolderFiles(File(System.getProperty("small"), name)), Device.runtime)
            assertEquals("gpu", bundle.manifest.madeFor)
            Task.of(bundle, DeviceEngine(bundle.model(), name, processor), DesktopPictures).use { task ->
                BundleCheck.run(task).forEach { assertTrue("$name, ${it.golden.title}: ${it.reason}", it.passed) }
            }
        }
    }

    private fun model(name: String) = Bundle.open(FolderFiles(File(System.getProperty("small"), name)), Device.runtime).use { it.model() }

    private fun row(inputs: Set<String>, ids: IntArray) =
        inputs.associateWith { Ids(if (it == "token_ids") ids else IntArray(ids.size) { _ -> if (it == "padding_mask") 1 else 0 }) }
}
