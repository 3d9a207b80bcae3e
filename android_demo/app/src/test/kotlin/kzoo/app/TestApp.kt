package kzoo.app

import java.nio.ByteBuffer
import kzoo.core.bundle.Engine
import kzoo.desktop.DesktopEngine

/** The app with the desktop's engine: Android's native library does not run on a JVM. */
open class TestApp : KzooApp() {
    override val engines: Engines = object : Engines {
        override val runtime = DesktopEngine.RUNTIME
        override fun open(model: ByteBuffer, name: String): Engine = DesktopEngine(model, name)
    }
}

/** The same on a device that has no memory left for a model. */
class SmallApp : TestApp() {
    override val engines: Engines = object : Engines {
        override val runtime = DesktopEngine.RUNTIME
        override fun open(model: ByteBuffer, name: String): Engine = throw OutOfMemoryError()
    }
}
