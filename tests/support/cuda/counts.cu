// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/counts.cu - bytes of device memory, by kernel: a line of JSON each, at the end of the
// process.
#include <stdio.h>

#include <map>
#include <string>

#include "checker.h"
#include "machine.h"
#include "shared.h"

namespace emulated
{

struct Bytes {
    uint64_t asked, unique; /* unique: each byte once a launch */
};

struct Counts {
    uint64_t launches;
    Bytes read, written;
};

struct Report {
    std::map<std::string, Counts> kernels;

    ~Report()
    {
        FILE *file =
            settings().counts == nullptr || kernels.empty() ? nullptr : fopen(settings().counts, "a");
        if (file == nullptr) return;
        for (const auto &entry : kernels) {
            const Counts &c = entry.second;
            fprintf(
                file,
                "{\"kernel\": \"%s\", \"launches\": %llu, \"read_bytes\": %llu, \"read_unique_bytes\": %llu, "
                "\"written_bytes\": %llu, \"written_unique_bytes\": %llu}\n",
                entry.first.c_str(), (unsigned long long)c.launches, (unsigned long long)c.read.asked,
                (unsigned long long)c.read.unique, (unsigned long long)c.written.asked,
                (unsigned long long)c.written.unique);
        }
        fclose(file);
    }
};
static Report report;
static Counts *current;

void count_launch()
{
    current = &report.kernels[kernel_name(block.function, block.kernel)];
    current->launches++;
}

void count_access(size_t bytes, bool is_write, size_t new_bytes)
{
    Bytes &counted = is_write ? current->written : current->read;
    counted.asked += bytes;
    counted.unique += new_bytes;
}

} // namespace emulated
