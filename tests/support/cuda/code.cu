// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/code.cu - places in the source: near addresses by their distance, others in a list.
#include "code.h"

#include <stdio.h>

#include <map>
#include <utility>
#include <vector>

#include "source.h"

namespace emulated
{

static constexpr uint32_t first_listed = 1u << 31;

struct Listed {
    const void *address; /* or */
    Site site;
};
static std::vector<Listed> list;
static std::map<std::pair<const void *, int>, uint32_t> numbers; // in the list, by address or file, and line

static const char origin_anchor = 0;

// Half the near addresses lie below the checker's own module.
static uintptr_t origin()
{
    return (uintptr_t)&origin_anchor - first_listed / 2;
}

static uint32_t number_of(const Listed &listed, const void *key, int line)
{
    const auto added = numbers.emplace(std::make_pair(key, line), first_listed + (uint32_t)list.size());
    if (added.second) list.push_back(listed);
    return added.first->second;
}

uint32_t code_of(const void *return_address)
{
    const uintptr_t distance = (uintptr_t)return_address - origin();
    if (distance < first_listed) return (uint32_t)distance;
    return number_of(Listed{return_address, Site{}}, return_address, 0);
}

uint32_t code_of(Site site)
{
    return number_of(Listed{nullptr, site}, site.file, site.line);
}

void describe_code(uint32_t code, char *text, size_t text_bytes)
{
    const void *address = reinterpret_cast<const void *>(origin() + code);
    if (code >= first_listed) {
        const Listed &listed = list[code - first_listed];
        address = listed.address;
        if (address == nullptr) {
            snprintf(text, text_bytes, "%s:%d", listed.site.file, listed.site.line);
            return;
        }
    }
    describe_source(static_cast<const char *>(address) - 1, text,
                    text_bytes); // in the call that returns there
}

} // namespace emulated
