/* SPDX-License-Identifier: Apache-2.0
 * jobs/main.c - the program: finds the command, runs it, prints what went wrong, once, and gives the exit
 * code. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/device/plugin.h"
#include "jobs/command.h"
#include "jobs/nearest.h"
#include "jobs/version.h"

static const fsfm_command *const commands[] = {
    &fsfm_command_config, &fsfm_command_synth, &fsfm_command_pack,     &fsfm_command_inspect,
    &fsfm_command_mask,   &fsfm_command_plan,  &fsfm_command_pretrain, &fsfm_command_verify,
    &fsfm_command_bench,  &fsfm_command_sweep, &fsfm_command_submit,
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_usage(FILE *stream)
{
    fputs("usage: fsfm COMMAND [argument ...]\n\ncommands:\n", stream);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(stream, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nfsfm COMMAND --help: a command's arguments\n"
          "fsfm --version: what this program is made of, and the device that it would use\n\n"
          "GPUs are experimental: the CUDA backend has passed its tests on an emulated device only.\n",
          stream);
}

static void print_help(const fsfm_command *command)
{
    const size_t length = strlen(command->help);
    printf("usage: fsfm %s\n\n%s\n", command->usage, command->summary);
    if (length) printf("\n%s%s", command->help, command->help[length - 1] == '\n' ? "" : "\n");
}

/* The device that `auto` takes; where it is the CPU, why no GPU. */
static void print_device(void)
{
    const fsfm_device_options options = {.kind = FSFM_DEVICE_AUTO, .threads = 1};
    const fsfm_device_plugin *plugin = NULL;
    fsfm_device *device = NULL;
    bool has_driver = false;
    char note[160];
    fsfm_error err;
    if (fsfm_device_open(&options, &device, note, &err) != FSFM_OK)
        printf("device: none (%s)\n", err.message);
    else if (device->kind == FSFM_DEVICE_CPU &&
             fsfm_device_plugin_find(&plugin, &has_driver, &err) != FSFM_OK)
        printf("device: %s; no GPU: %s\n", device->name, err.message);
    else
        printf("device: %s\n", device->name);
    fsfm_device_close(&device);
}

static void print_version(void)
{
    const char *revision = fsfm_version_revision();
    printf("fsfm %s%s%s%s\n", fsfm_version(), *revision ? " (git " : "", revision, *revision ? ")" : "");
    printf("libraries: %s\n", fsfm_version_libraries());
    print_device();
}

static int fail_command(const char *name)
{
    const char *names[COMMANDS + 1] = {NULL};
    for (int i = 0; i < COMMANDS; i++) names[i] = commands[i]->name;
    fprintf(stderr, "fsfm: %s: unknown command; nearest known command: %s\n\n", name,
            fsfm_nearest_word(name, names));
    print_usage(stderr);
    return FSFM_EXIT_USAGE;
}

/* Asked for anywhere before a "--". */
static int wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return 1;
    return 0;
}

static int run_command(int argc, char **argv)
{
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[0], commands[i]->name) != 0) continue;
        if (wants_help(argc - 1, argv + 1)) {
            print_help(commands[i]);
            return FSFM_EXIT_DONE;
        }
        fsfm_error err = {FSFM_OK, ""};
        const int code = commands[i]->run(argc - 1, argv + 1, &err);
        if (code != FSFM_EXIT_DONE) fsfm_command_print_error(&err);
        return code;
    }
    return fail_command(argv[0]);
}

int main(int argc, char **argv)
{
    int code = FSFM_EXIT_DONE;
    if (argc < 2) {
        print_usage(stderr);
        return FSFM_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        print_usage(stdout);
    else if (strcmp(argv[1], "--version") == 0)
        print_version();
    else
        code = run_command(argc - 1, argv + 1);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == FSFM_EXIT_DONE) {
        fprintf(stderr, "fsfm: standard output: %s\n", strerror(errno));
        code = FSFM_EXIT_FAILED;
    }
    return code;
}
