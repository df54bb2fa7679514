/* SPDX-License-Identifier: Apache-2.0
 * tests/support/device_choice.h - the device that the environment asks tests to run on: FSFM_TEST_DEVICE
 * (cpu, cuda; default cpu). FSFM_TEST_ONLY names the one case to run, where a program has many. */
#ifndef FSFM_TESTS_SUPPORT_DEVICE_CHOICE_H
#define FSFM_TESTS_SUPPORT_DEVICE_CHOICE_H

#include "core/device/device.h"

fsfm_device_kind device_choice(void);
#endif
