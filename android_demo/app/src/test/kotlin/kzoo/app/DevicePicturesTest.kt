package kzoo.app

import kzoo.core.bundle.Bundle
import kzoo.core.bundle.FolderFiles
import kzoo.core.task.BundleCheck
import kzoo.core.task.Task
import kzoo.desktop.DesktopPictures
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Android's own decoder, as Robolectric has it from the platform's sources, held against ImageIO's and Python's. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [26, 35], application = TestApp::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class DevicePicturesTest {
    @Test
    fun `pixels are those of the file, unturned, with white beneath`() {
        for (name in listOf("whole.png", "held_sideways.jpg", "held_sideways.png", "grey.png", "transparent.png", "palette.gif", "column.png", "dot.png")) {
            val there = DesktopPictures.decode(given(name), name)
            val here = DevicePictures.decode(given(name), name)
            assertEquals(name, there.width to there.height, here.width to here.height)
            val off = there.pixels.indices.maxOf { pixel -> (0..16 step 8).maxOf { Math.abs((there.pixels[pixel] shr it and 255) - (here.pixels[pixel] shr it and 255)) } }
            assertTrue("$name is off by $off levels", off <= if (name.endsWith("jpg")) 2 else 0)
        }
    }

    @Test
    fun `golden pictures pass`() {
        val engines = (RuntimeEnvironment.getApplication() as KzooApp).engines
        for (name in listOf("pictures", "pictures_grey", "digits")) {
            val bundle = Bundle.open(FolderFiles(small(name)), engines.runtime)
            Task.of(bundle, engines.open(bundle.model(), bundle.name), DevicePictures).use { task ->
                BundleCheck.run(task).forEach { assertTrue("$name, ${it.golden.title}: ${it.reason}", it.passed) }
            }
        }
    }
}
