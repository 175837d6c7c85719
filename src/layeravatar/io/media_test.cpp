#include <gtest/gtest.h>

#include <cmath>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/io/bytes.h"
#include "layeravatar/io/ply.h"
#include "layeravatar/io/support_test.h"
#include "layeravatar/io/video.h"

namespace layeravatar::io {
namespace {

using MediaFiles = FolderTest;

TEST_F(MediaFiles, SplatPlyHoldsLogitsAndLogarithms) {
  const float mean[] = {1, 2, 3}, colour[] = {0.5F, 1, 0}, opacity[] = {0.5F}, scale[] = {1, std::exp(1.0F), 0},
              rotation[] = {1, 0, 0, 0};
  write_splat_ply(folder / "a.ply", {mean, colour, opacity, scale, rotation});
  const std::string bytes = read_file(folder / "a.ply");
  const std::size_t body = bytes.find("end_header\n") + 11;
  ASSERT_EQ(bytes.size() - body, 17 * sizeof(float));
  const auto value = [&](std::size_t i) { return load<float>(bytes, body + 4 * i); };
  EXPECT_EQ(value(2), 3.0F);
  EXPECT_EQ(value(6), 0.0F);
  EXPECT_NEAR(value(7), 0.5F / 0.28209479F, 1e-6);
  EXPECT_EQ(value(9), 0.0F);             // logit of one half
  EXPECT_NEAR(value(11), 1.0F, 1e-6);    // log e
  EXPECT_NEAR(value(12), std::log(1e-9F), 1e-4);
  EXPECT_EQ(value(13), 1.0F);
  EXPECT_NE(bytes.find("element vertex 1\n"), std::string::npos);
}

TEST_F(MediaFiles, AnEmptySplatCloudIsAFile) {
  write_splat_ply(folder / "none.ply", {});
  EXPECT_NE(read_file(folder / "none.ply").find("element vertex 0\n"), std::string::npos);
}

TEST_F(MediaFiles, AFilmAppearsOnlyWhenCommitted) {
  if (!have_ffmpeg()) GTEST_SKIP() << "no ffmpeg program";
  const Image frame{32, 16, 3, std::vector<std::uint8_t>(32 * 16 * 3, 128)};
  { VideoWriter(folder / "dropped.mp4", 32, 16, 25).add(frame); }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  VideoWriter film(folder / "it's a film.mp4", 32, 16, 25);
  for (int i = 0; i < 5; ++i) film.add(frame);
  EXPECT_FALSE(std::filesystem::exists(folder / "it's a film.mp4"));
  film.commit();
  const std::string bytes = read_file(folder / "it's a film.mp4");
  EXPECT_EQ(bytes.substr(4, 4), "ftyp");
}

TEST_F(MediaFiles, OddSizesAndMissingFoldersAreRefused) {
  EXPECT_THROW(VideoWriter(folder / "a.mp4", 33, 16, 25), Error);
  if (!have_ffmpeg()) GTEST_SKIP() << "no ffmpeg program";
  const Image frame{32, 16, 3, std::vector<std::uint8_t>(32 * 16 * 3, 128)};
  try {
    VideoWriter film(folder / "nowhere" / "a.mp4", 32, 16, 25);
    for (int i = 0; i < 200; ++i) film.add(frame);
    film.commit();
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kOutput);
  }
}

}  // namespace
}  // namespace layeravatar::io
