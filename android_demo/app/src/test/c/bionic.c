/* What Android's C library has and Linux' own has not, as far as libtensorflowlite_jni.so asks for
   it: with this, the x86-64 library of the AAR runs in a JVM on a desktop. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int *__errno(void) { return &errno; }

size_t __strlen_chk(const char *text, size_t room) {
    (void)room;
    return strlen(text);
}

int __system_property_get(const char *name, char *value) {
    (void)name;
    *value = 0;
    return 0;
}

int __android_log_vprint(int priority, const char *tag, const char *format, va_list values) {
    (void)priority;
    (void)tag;
    (void)format;
    (void)values;
    return 0; /* The library writes the same line to stderr. */
}

void android_set_abort_message(const char *text) { fprintf(stderr, "%s\n", text); }

/* stdin, stdout and stderr, 152 bytes apart; only the last is written to. */
char __sF[2 * 152 + sizeof(FILE) + sizeof(void *)] __attribute__((aligned(16)));

__attribute__((constructor)) static void open_stderr(void) {
    memcpy(__sF + 2 * 152, stderr, sizeof(FILE) + sizeof(void *));
}

/* The names of sysconf have other numbers there; the library is made to ask here. */
long sysconF(int name) {
    switch (name) {
        case 0x27: return sysconf(_SC_PAGESIZE);
        case 0x60: return sysconf(_SC_NPROCESSORS_CONF);
        case 0x61: return sysconf(_SC_NPROCESSORS_ONLN);
        default: return -1;
    }
}
