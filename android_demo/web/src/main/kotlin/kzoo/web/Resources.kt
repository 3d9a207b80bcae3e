package kzoo.web

import org.teavm.classlib.ResourceSupplier
import org.teavm.classlib.ResourceSupplierContext

/** Tells the compiler which files the core reads: the tables of code points. */
class Resources : ResourceSupplier {
    override fun supplyResources(context: ResourceSupplierContext) = arrayOf("kzoo/core/unicode/tables.bin")
}
