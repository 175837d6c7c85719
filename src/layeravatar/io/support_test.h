// Shared by the tests of this library.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"

namespace layeravatar::io {

class FolderTest : public ::testing::Test {
 protected:
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lav_io_" + std::to_string(::getpid()));
  void SetUp() override { std::filesystem::create_directories(folder); }
  void TearDown() override { std::filesystem::remove_all(folder); }
};

/// The message of the Error(kInput) that `body` throws; empty when it throws none.
template <class Body>
std::string input_error(Body&& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
    return e.what();
  }
  return "";
}

}  // namespace layeravatar::io
