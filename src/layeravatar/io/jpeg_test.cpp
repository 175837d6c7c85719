#include "layeravatar/io/jpeg.h"

#include <cstdlib>

#include "layeravatar/io/support_test.h"

namespace layeravatar::io {
namespace {
using JpegFile = FolderTest;

// Slow ramps: what JPEG keeps.
Image ramps(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c)
        image.pixels.push_back(static_cast<std::uint8_t>(c == 1 ? 200 - 2 * y : 40 + 3 * x + 20 * c));
  return image;
}

std::string jpeg_error_of(const std::string& bytes) {
  return input_error([&] { (void)parse_jpeg(bytes, "a.jpg"); });
}

TEST_F(JpegFile, RoundTripWithinAFewLevels) {
  for (const int channels : {1, 3}) {
    const Image image = ramps(37, 21, channels);
    write_jpeg(folder / "a.jpg", image, 95);
    const Image back = read_jpeg(folder / "a.jpg");
    EXPECT_EQ(back.width, 37);
    EXPECT_EQ(back.height, 21);
    ASSERT_EQ(back.channels, channels);
    ASSERT_EQ(back.pixels.size(), image.pixels.size());
    for (std::size_t i = 0; i < image.pixels.size(); ++i) EXPECT_LE(std::abs(back.pixels[i] - image.pixels[i]), 6) << i;
  }
}

TEST(Jpeg, FilesLongerThanTheBufferAndSmallerAtLowQuality) {
  Image noise{300, 200, 3, {}};
  std::uint32_t state = 1;
  for (int i = 0; i < 300 * 200 * 3; ++i) {
    state = state * 1664525U + 1013904223U;
    noise.pixels.push_back(static_cast<std::uint8_t>(state >> 24U));
  }
  const std::string fine = format_jpeg(noise, 95), coarse = format_jpeg(noise, 10);
  EXPECT_GT(fine.size(), 1U << 15U);
  EXPECT_LT(coarse.size(), fine.size() / 4);
  EXPECT_EQ(parse_jpeg(fine, "a.jpg").pixels.size(), noise.pixels.size());
}

TEST(Jpeg, CutAndDamagedFilesAreErrors) {
  const std::string whole = format_jpeg(ramps(37, 21, 3));
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_NE(jpeg_error_of(whole.substr(0, n)), "") << n;
  EXPECT_EQ(jpeg_error_of(whole.substr(0, whole.size() - 2)), "a.jpg: corrupt JPEG: Premature end of JPEG file");
  for (std::size_t n = 0; n < whole.size(); ++n) {
    std::string bytes = whole;
    bytes[n] = static_cast<char>(bytes[n] ^ 0x10);
    jpeg_error_of(bytes);
  }
}

TEST(Jpeg, OtherFilesAreRefused) {
  EXPECT_EQ(jpeg_error_of(format_png(ramps(3, 2, 3))), "a.jpg: not a JPEG file");
  EXPECT_EQ(jpeg_error_of(""), "a.jpg: not a JPEG file");
  using std::string_literals::operator""s;
  const std::string four = "\xFF\xD8\xFF\xC0\0\x14\x08\0\x08\0\x08\x04\x01\x11\0\x02\x11\0\x03\x11\0\x04\x11\0"
                           "\xFF\xDA\0\x0E\x04\x01\0\x02\0\x03\0\x04\0\0\x3F\0"s;
  EXPECT_EQ(jpeg_error_of(four), "a.jpg: JPEG colours are CMYK, expected grey or RGB");
}

TEST(Jpeg, EndlessScansAreRefused) {  // a scan of a few bytes may visit every block of a large picture
  EXPECT_EQ(jpeg_error_of(read_file(LAV_GOLDEN_DIR "/io/many_scans.jpg")), "a.jpg: corrupt JPEG: more than 100 scans");
}

TEST(Jpeg, HugeHeaderTakesNoMemory) {
  std::string bytes = format_jpeg(ramps(8, 8, 3));
  const std::size_t frame = bytes.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  bytes.replace(frame + 5, 4, "\x75\x30\x75\x30");  // rows, columns: 30000
  const std::string message = jpeg_error_of(bytes);
  EXPECT_NE(message.find("30000x30000 pixels cannot come from"), std::string::npos) << message;
}

}  // namespace
}  // namespace layeravatar::io
