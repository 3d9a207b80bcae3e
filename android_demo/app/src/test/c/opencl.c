/* The OpenCL of Linux as the GPU delegate asks for it: PoCL's processor answers to what looks for a
   GPU, by a name that the delegate doesn't know, for it has kernels of their own for those it does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

static void *real(const char *name) { return dlsym(dlopen("libOpenCL.so.1", RTLD_NOW), name); }

int clGetDeviceIDs(void *platform, uint64_t kind, uint32_t room, void **devices, uint32_t *count) {
    int (*call)(void *, uint64_t, uint32_t, void **, uint32_t *) = real("clGetDeviceIDs");
    (void)kind;
    return call(platform, 0xFFFFFFFF, room, devices, count); /* of every kind */
}

int clGetDeviceInfo(void *device, uint32_t asked, size_t room, void *value, size_t *size) {
    int (*call)(void *, uint32_t, size_t, void *, size_t *) = real("clGetDeviceInfo");
    const char name[] = "Played";
    if (asked != 0x102B && asked != 0x102C) return call(device, asked, room, value, size); /* name, vendor */
    if (size != NULL) *size = sizeof name;
    if (value != NULL && room >= sizeof name) memcpy(value, name, sizeof name);
    return 0;
}
