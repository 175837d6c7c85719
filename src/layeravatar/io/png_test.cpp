#include "layeravatar/io/png.h"

#include "layeravatar/io/support_test.h"

namespace layeravatar::io {
namespace {
using PngFile = FolderTest;

Image pattern(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  for (int i = 0; i < width * height * channels; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i * 37 % 251));
  return image;
}

std::string png_error_of(const std::string& bytes) {
  return input_error([&] { (void)parse_png(bytes, "a.png"); });
}

TEST_F(PngFile, RoundTripAtEveryLevel) {
  for (const int channels : {1, 3, 4}) {
    for (const int level : {0, 1, 9}) {
      const Image image = pattern(13, 7, channels);
      write_png(folder / "a.png", image, level);
      const Image back = read_png(folder / "a.png");
      EXPECT_EQ(back.width, 13);
      EXPECT_EQ(back.height, 7);
      EXPECT_EQ(back.channels, channels);
      EXPECT_EQ(back.pixels, image.pixels);
    }
  }
}

TEST(Png, PaletteBecomesColour) {
  const Image image = read_png(LAV_GOLDEN_DIR "/io/palette_2x2.png");
  EXPECT_EQ(image.channels, 4);  // its second colour is half transparent
  EXPECT_EQ(image.pixels,
            (std::vector<std::uint8_t>{255, 0, 0, 255, 0, 255, 0, 128, 0, 0, 255, 255, 255, 0, 0, 255}));
}

TEST(Png, CutAndDamagedFilesAreErrors) {
  const Image image = pattern(5, 4, 3);
  const std::string whole = format_png(image);
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_NE(png_error_of(whole.substr(0, n)), "") << n;
  for (std::size_t n = 0; n < whole.size(); ++n) {
    std::string bytes = whole;
    bytes[n] = static_cast<char>(bytes[n] ^ 0x10);
    input_error([&] { EXPECT_EQ(parse_png(bytes, "a.png").pixels, image.pixels) << n; });
  }
  EXPECT_EQ(png_error_of("GIF89a, and no PNG"), "a.png: not a PNG file");
  EXPECT_NE(png_error_of(whole.substr(0, 60)).find("a.png: corrupt PNG: "), std::string::npos);
}

TEST(Png, ClaimsOfAChunkTakeNoMemory) {
  constexpr std::size_t kAfterHeader = 8 + 12 + 13;  // signature, IHDR
  const std::string whole = format_png(pattern(5, 4, 3));
  for (const char* const type : {"zTXt", "iCCP", "tEXt", "eXIf", "abCd"}) {
    std::string bytes = whole;
    bytes.insert(kAfterHeader, std::string("\x7F\xFF\xFF\xFF") + type);  // 2^31 - 1 bytes
    EXPECT_EQ(png_error_of(bytes), "a.png: corrupt PNG: truncated") << type;
  }
}

TEST(Png, HugeHeaderTakesNoMemory) {
  std::string bytes = read_file(LAV_GOLDEN_DIR "/io/huge_header.png");  // 30000 x 30000 RGBA in 60 bytes
  EXPECT_NE(png_error_of(bytes).find("30000x30000 pixels cannot come from"), std::string::npos) << png_error_of(bytes);
}

}  // namespace
}  // namespace layeravatar::io
