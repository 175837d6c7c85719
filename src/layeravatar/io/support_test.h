// Shared by the tests of this library.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/testing/folder.h"

namespace layeravatar::io {

using testing::FolderTest;

/// The message of the Error(kInput) that `body` throws; empty when it throws none.
template <class Body>
std::string input_error(Body&& body) {
  return testing::message_of(ErrorKind::kInput, std::forward<Body>(body));
}

}  // namespace layeravatar::io
