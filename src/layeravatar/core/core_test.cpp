#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/core/mapped_file.h"

namespace layeravatar {
namespace {
namespace fs = std::filesystem;

class AtomicFileTest : public ::testing::Test {
 protected:
  fs::path folder = fs::temp_directory_path() / ("lav_core_" + std::to_string(::getpid()));
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
  [[nodiscard]] std::ptrdiff_t entries() const {
    return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
  }
};

TEST(Error, KindIsTheExitCodeOfTheStyleGuide) {
  EXPECT_EQ(Error(ErrorKind::kInput, "x").exit_code(), 3);
  EXPECT_EQ(Error(ErrorKind::kPeer, "x").exit_code(), 9);
}

TEST(Error, MessagesAreOneLine) {
  EXPECT_STREQ(Error(ErrorKind::kInput, "a.npz: array 'x\n\x1b[2J\xc3\xa9'").what(), "a.npz: array 'x ?[2J\xc3\xa9'");
}

TEST(Error, CheckNamesConditionAndMessage) {
  try {
    LAV_CHECK(1 + 1 == 3, "arithmetic");
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInternal);
    EXPECT_NE(std::string(e.what()).find("arithmetic (failed: 1 + 1 == 3)"), std::string::npos) << e.what();
  }
}

TEST_F(AtomicFileTest, CommitPutsTheWholeFileUnderItsName) {
  write_file(folder / "a.txt", "old");
  write_file(folder / "a.txt", "new content");
  EXPECT_EQ(read_file(folder / "a.txt"), "new content");
  EXPECT_EQ(entries(), 1);
}

TEST_F(AtomicFileTest, WithoutCommitTheOldFileStaysAndNothingIsLeft) {
  write_file(folder / "a.txt", "old");
  {
    AtomicFile file(folder / "a.txt");
    file.write("half");
    EXPECT_EQ(entries(), 2);
  }
  EXPECT_EQ(read_file(folder / "a.txt"), "old");
  EXPECT_EQ(entries(), 1);
}

TEST_F(AtomicFileTest, MissingFolderIsAnOutputErrorThatNamesTheFile) {
  try {
    write_file(folder / "none" / "a.txt", "x");
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kOutput);
    EXPECT_NE(std::string(e.what()).find("a.txt: cannot create: "), std::string::npos) << e.what();
  }
}

TEST_F(AtomicFileTest, MappedFileHoldsTheContentThatItHadAndKeepsWritesToItself) {
  write_file(folder / "a.txt", "first");
  const MappedFile mapped(folder / "a.txt");
  write_file(folder / "a.txt", "second");  // under the same name, another file
  EXPECT_EQ(mapped.bytes(), "first");
  const_cast<char&>(mapped.bytes()[0]) = 'F';
  EXPECT_EQ(mapped.bytes(), "First");
  EXPECT_EQ(read_file(folder / "a.txt"), "second");
  write_file(folder / "empty", "");
  EXPECT_EQ(MappedFile(folder / "empty").bytes(), "");
}

TEST_F(AtomicFileTest, MappedFileReadsAPipeAndRefusesWhatIsNoFile) {
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(folder / "pipe") << "through a pipe"; });
  const MappedFile piped(folder / "pipe");
  writer.join();
  EXPECT_EQ(piped.bytes(), "through a pipe");
  for (const fs::path& path : {folder / "none", folder}) {
    try {
      const MappedFile file(path);
      FAIL() << "did not throw";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      EXPECT_NE(std::string(e.what()).find(path.string() + ": cannot open: "), std::string::npos) << e.what();
    }
  }
}

TEST_F(AtomicFileTest, MissingInputSaysSo) {
  try {
    (void)read_file(folder / "none.txt");
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_NE(std::string(e.what()).find("none.txt: cannot open: "), std::string::npos) << e.what();
  }
}

TEST_F(AtomicFileTest, AFoldersFilesAppearWithIt) {
  {
    AtomicFolder out(folder / "views");
    make_folder(out.temporary() / "image");
    out.write("image/a.txt", "content");
    EXPECT_FALSE(std::filesystem::exists(folder / "views"));
    out.commit();
  }
  EXPECT_EQ(read_file(folder / "views/image/a.txt"), "content");
  try {
    AtomicFolder other(folder / "other");
    other.write("none/a.txt", "x");
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kOutput);
    EXPECT_NE(std::string(e.what()).find("other/none/a.txt: cannot create: "), std::string::npos) << e.what();
  }
  EXPECT_EQ(entries(), 1);
  {
    AtomicFolder again(folder / "views");
    again.write("b.txt", "second");
    EXPECT_TRUE(fs::exists(folder / "views/image/a.txt"));
    again.commit_over();
    EXPECT_EQ(read_file(folder / "views/b.txt"), "second");
    EXPECT_FALSE(fs::exists(folder / "views/image/a.txt"));
  }
  EXPECT_FALSE(fs::exists(folder / "views.partial"));
}

}  // namespace
}  // namespace layeravatar
