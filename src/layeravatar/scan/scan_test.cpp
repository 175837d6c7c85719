#include "layeravatar/scan/render_scans.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/geometry/ray_caster.h"
#include "layeravatar/geometry/rasterize.h"
#include "layeravatar/io/glb_for_test.h"
#include "layeravatar/io/jpeg.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/pickle_write.h"
#include "layeravatar/people/pose_library.h"
#include "layeravatar/scan/scan_for_test.h"

namespace layeravatar::scan {
namespace {

namespace fs = std::filesystem;

const fs::path kBody = fs::path(LAV_GOLDEN_DIR) / "body/SMPLX_NEUTRAL.npz";

constexpr const char* kQuad = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n";
io::Image one_colour(std::uint8_t r, std::uint8_t g, std::uint8_t b) { return {1, 1, 3, {r, g, b}}; }

class ScanMeshFiles : public FolderTest {
 protected:
  std::string why(const fs::path& file) {
    return message_of(ErrorKind::kInput, [&] { (void)read_scan(folder / file); });
  }
};

TEST_F(ScanMeshFiles, HaveMaterialsOrTheUsualPicture) {
  write_file(folder / "a.obj", std::string("mtllib a.mtl\n") + kQuad + "usemtl red\nf 1/1 2/2 3/3\nusemtl bare\nf 1/1 3/3 4/4\n");
  write_file(folder / "a.mtl", "newmtl red\nmap_Kd red.png\nnewmtl bare\nKd 1 1 1\n");
  io::write_png(folder / "red.png", one_colour(200, 0, 0));
  EXPECT_EQ(why("a.obj"), (folder / "a.obj").string() + ": material 'bare' has no texture");
  io::write_jpeg(folder / "material0.jpeg", {16, 16, 3, std::vector<std::uint8_t>(768, 90)});
  const ScanMesh mesh = read_scan(folder / "a.obj");
  EXPECT_EQ(mesh.materials, (std::vector<std::int32_t>{0, 1}));
  EXPECT_EQ(mesh.material_list[0].texture.pixels[0], 200);
  EXPECT_EQ(mesh.material_list[1].texture.width, 16);
  write_file(folder / "b.obj", std::string(kQuad) + "f 1/1 2/2 3/3 4/4\n");
  EXPECT_EQ(read_scan(folder / "b.obj").triangles.size(), 2U) << "a face of four corners, without library";
  fs::remove(folder / "material0.jpeg");
  EXPECT_EQ(why("b.obj"), (folder / "b.obj").string() + ": triangles without material, and no material0.jpeg beside it");
  fs::remove(folder / "red.png");
  EXPECT_EQ(why("a.obj"), (folder / "red.png").string() + ": cannot open: No such file or directory");
}

TEST_F(ScanMeshFiles, AreRefusedWhenEmptyOrCutShort) {
  io::write_png(folder / "material0.png", one_colour(1, 2, 3));
  write_file(folder / "a.obj", kQuad);
  EXPECT_EQ(why("a.obj"), (folder / "a.obj").string() + ": holds no triangles");
  write_file(folder / "a.obj", std::string("v 5 5 5\nv 6 6 6\nv 7 7 7\n") + kQuad + "f 4/1 5/2 6/3\n");
  EXPECT_EQ(why("a.obj"), (folder / "a.obj").string() + ": 4 of 7 vertices belong to no triangle; is the file cut short?");
  write_file(folder / "a.obj", std::string(kQuad) + "f 1/1 2/2 3/3\nf 1/1 2");
  EXPECT_EQ(why("a.obj"), (folder / "a.obj").string() + ": line 10: face has 2 corners; expected 3");
  std::string png = io::format_png(one_colour(1, 2, 3));
  png[16] = 'x';  // a width of two thousand million
  write_file(folder / "material0.png", png);
  write_file(folder / "a.obj", std::string(kQuad) + "f 1/1 2/2 3/3\n");
  EXPECT_NE(why("a.obj").find("expected at most 16384x16384"), std::string::npos);
}

TEST_F(ScanMeshFiles, MayBeBinaryGltf) {
  io::Image picture{2, 1, 4, {10, 20, 30, 0, 40, 50, 60, 255}};  // an opaque material's alpha does not count
  write_file(folder / "a.glb", io::triangle_glb(io::format_png(picture)));
  const ScanMesh mesh = read_scan(folder / "a.glb");
  EXPECT_EQ(mesh.material_list[0].texture.channels, 3);
  EXPECT_EQ(mesh.material_list[0].texture.pixels[4], 50);
  EXPECT_EQ(mesh.triangles.size(), 1U);
  write_file(folder / "b.glb", io::triangle_glb("no picture"));
  EXPECT_EQ(why("b.glb"), (folder / "b.glb").string() + ": material 'cloth': not a PNG or JPEG file");
}

TEST(Normalise, FollowsEachSetsRule) {
  body::SmplxFit fit;
  fit.translation = {1, 2, 3};
  fit.scale = 0.5;
  std::vector<Point> v = {{1.25F, 2, 3}};
  EXPECT_EQ(normalise(v, ScanSet::kThuman20, fit, nullptr)[1], static_cast<double>(0.35F));
  EXPECT_FLOAT_EQ(v[0][0], 0.5F);
  EXPECT_FLOAT_EQ(v[0][1], 0.35F);

  const body::BodyModel model = body::read_smplx(kBody).model;
  fit.betas = {1, 2};
  body::PoseParams shape;
  shape.betas = fit.betas;
  const auto j = body::pose(model, shape).rest_joints;
  // A quarter turn about y takes x to -z: the scan's point right of the pelvis along -z was at +x before.
  fit.global_orient = {0, 1.57079637F, 0};
  v = {{0.5F * j[0] + 1, 0.5F * j[1] + 2, 0.5F * (j[2] - 0.2F) + 3}};
  EXPECT_EQ(normalise(v, ScanSet::kThuman21, fit, &model)[0], 0);
  EXPECT_NEAR(v[0][0], j[0] + 0.2F, 1e-6);
  EXPECT_NEAR(v[0][1], j[1] + 0.35F, 1e-6);
  EXPECT_NEAR(v[0][2], j[2], 1e-6);

  v = {{0.5F, 0.5F, 0.5F}};
  const auto centre = normalise(v, ScanSet::kCustomHumans, fit, &model);
  EXPECT_EQ(v[0], (Point{0.5F, 0.6F, 0.5F}));
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(centre[k], (k == 1 ? 0.1 : 0) - j[k], 1e-6);

  v = {{9, 0, 0}};
  EXPECT_EQ(message_of(ErrorKind::kInput, [&] { normalise(v, ScanSet::kPlain, {}, nullptr); }),
            "the scan reaches 9 m from the origin when normalised; expected at most 3 m");
  fit.scale = 0;
  EXPECT_EQ(message_of(ErrorKind::kInput, [&] { normalise(v, ScanSet::kThuman20, fit, nullptr); }), "'scale' is 0; expected a positive number");
  EXPECT_NE(message_of(ErrorKind::kConfig, [&] { normalise(v, ScanSet::kCustomHumans, fit, nullptr); }), "");
}

TEST(ShareNear, TellsAFitThatBelongs) {
  const people::DressedPerson person = small_person();
  const ScanMesh mesh = scan_of(person.mesh);
  body::PosedBody posed;
  for (const Point& p : mesh.vertices) posed.vertices.insert(posed.vertices.end(), {p[0] * 1.05F, p[1], p[2]});
  EXPECT_GT(share_near(mesh, posed), 0.99);
  for (std::size_t i = 0; i < posed.vertices.size(); i += 3) posed.vertices[i] += 0.6F;
  EXPECT_LT(share_near(mesh, posed), 0.1);
}

TEST_F(FolderTest, ScansAndFitsAreFoundWhereTheSetsKeepThem) {
  for (const char* id : {"0525", "0526", "0700", "notes"}) fs::create_directories(folder / "THuman2_1/model" / id);
  write_file(folder / "THuman2_1/model/0526/0526.obj", "");
  write_file(folder / "THuman2_1/model/0700/other.glb", "");
  const auto scans = find_scans(folder / "THuman2_1/model/", ScanSet::kThuman21);
  ASSERT_EQ(scans.size(), 2U);
  EXPECT_EQ(scans[0].mesh.filename(), "0526.obj");
  EXPECT_EQ(scans[1].mesh.filename(), "other.glb");
  EXPECT_EQ(scans[0].fit, folder / "THuman2_1/smplx/0526/smplx_param.pkl");
  fs::create_directories(folder / "CustomHumans/mesh/0004_00007_02_00001");
  const auto custom = find_scans(folder / "CustomHumans/mesh", ScanSet::kCustomHumans, {}, true);
  EXPECT_EQ(custom[0].fit, folder / "CustomHumans/smplx/0004_00007_02_00001/mesh-f00001_refine.json");
  EXPECT_TRUE(custom[0].mesh.empty());
  EXPECT_NE(message_of(ErrorKind::kInput, [&] { find_scans(folder / "THuman2_1", ScanSet::kThuman21); }), "");
}

TEST(MeshRenderer, GivesDepthNormalsAndLight) {
  // A square of 0.4 m at the origin, which faces the level camera at azimuth 0 from its back.
  ScanMesh mesh;
  mesh.vertices = {{-0.2F, -0.2F, 0}, {0.2F, -0.2F, 0}, {0.2F, 0.2F, 0}, {-0.2F, 0.2F, 0}};
  mesh.uvs = {{0, 0}};
  mesh.triangles = {{0, 2, 1}, {0, 3, 2}};
  mesh.uv_triangles = {{0, 0, 0}, {0, 0, 0}};
  mesh.materials = {0, 0};
  mesh.material_list = {{"grey", one_colour(100, 100, 100)}};
  const auto normals = geometry::vertex_normals(mesh.vertices, mesh.triangles);
  ASSERT_EQ(normals[0], (Point{0, 0, -1}));
  const std::vector<float> openness = {0.5F, 0.5F, 0.5F, 0.5F};
  Surface surface = surface_of(mesh);
  surface.normals = normals, surface.openness = openness;
  const MeshRenderer renderer(surface, textures_of(mesh));
  const auto camera = geometry::training_cameras(64)[1].camera;
  const MeshView view = renderer.view(camera, 2, {.labels = false, .depth = true, .normals = true, .ambient = true, .lit = true});
  const std::size_t middle = 32 * 64 + 32, corner = 0;
  EXPECT_NEAR(view.depth[middle], 10, 1e-5);
  EXPECT_EQ(view.depth[corner], 0);
  EXPECT_EQ(view.normals.pixels[4 * middle + 2], 255) << "turned to the camera, +z";
  EXPECT_NEAR(view.normals.pixels[4 * middle], 127, 1);
  EXPECT_EQ(view.normals.pixels[4 * corner + 3], 0);
  EXPECT_EQ(view.colour.pixels[4 * middle], 100);
  EXPECT_EQ(view.ambient.pixels[4 * middle], 50);
  // 0.5 * 0.5 + 0.6 / sqrt(1 + 0.25 + 0.64)
  EXPECT_NEAR(view.lit.pixels[4 * middle], 100 * (0.25 + 0.6 / std::sqrt(1.89)), 1);
  EXPECT_EQ(view.lit.pixels[4 * corner], 255);
  EXPECT_THROW((void)renderer.view(camera, 2, {.labels = true}), Error);
  // 0.4 m are 0.4 * 5000 / 16 / 10 = 12.5 pixels: 25 samples, and their ends lie on samples.
  EXPECT_EQ(renderer.count_hits(camera, 2), 26U * 26U);
}

TEST(MeshRenderer, DoesNotAliasFineTextures) {
  // A chessboard of single texels, far finer than a sample, is grey everywhere.
  people::TexturedMesh mesh;
  io::Image board{2048, 2048, 3, {}};
  for (int y = 0; y < 2048; ++y)
    for (int x = 0; x < 2048; ++x) board.pixels.insert(board.pixels.end(), 3, (x + y) % 2 == 0 ? 0 : 255);
  ScanMesh quad;
  quad.vertices = {{-0.5F, -0.5F, 0}, {0.5F, -0.5F, 0}, {0.5F, 0.5F, 0}, {-0.5F, 0.5F, 0}};
  quad.uvs = {{0, 0}, {1, 0}, {1, 1}, {0, 1}};
  quad.triangles = quad.uv_triangles = {{0, 1, 2}, {0, 2, 3}};
  quad.materials = {0, 0};
  quad.material_list = {{"board", board}};
  const MeshRenderer renderer(surface_of(quad), textures_of(quad));
  const MeshView view = renderer.view(geometry::training_cameras(64)[1].camera);
  for (int y = 20; y < 44; ++y)
    for (int x = 20; x < 44; ++x) EXPECT_NEAR(view.colour.pixels[static_cast<std::size_t>(4 * (64 * y + x))], 127, 1) << x << ' ' << y;
}

struct Difference {
  double mean = 0, far = 0, mean_inside = 0;  // mean of 0..255; share of pixels beyond 8
};

Difference compare(const io::Image& a, const io::Image& b) {
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  Difference out;
  double inside = 0;
  const std::size_t pixels = a.pixels.size() / 4;
  for (std::size_t i = 0; i < pixels; ++i) {
    int worst = 0, sum = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const int d = std::abs(a.pixels[4 * i + k] - b.pixels[4 * i + k]);
      worst = std::max(worst, d), sum += d;
    }
    out.mean += sum / 4.0;
    out.far += worst > 8 ? 1 : 0;
    if (b.pixels[4 * i + 3] > 0) out.mean_inside += sum / 4.0, ++inside;
  }
  out.mean /= static_cast<double>(pixels), out.far /= static_cast<double>(pixels), out.mean_inside /= inside;
  return out;
}

// The renderer of data::render_person, on the person itself.
io::Image exact_view(const people::TexturedMesh& mesh, const geometry::Camera& camera) {
  std::vector<TexturePyramid> textures;
  for (const auto& m : mesh.material_list) textures.emplace_back(m.texture);
  return MeshRenderer({mesh.vertices, mesh.uvs, mesh.triangles, mesh.uv_triangles, mesh.materials, mesh.shade, {}, {}, {}}, std::move(textures))
      .view(camera)
      .colour;
}

class PeopleAsScans : public FolderTest {
 protected:
  void expect_same_views(people::TexturedMesh mesh, const fs::path& views, int size) {
    for (const auto& [name, camera] : geometry::training_cameras(size)) {
      const Difference d = compare(io::read_png(views / "image" / (name + ".png")), exact_view(mesh, camera));
      EXPECT_LE(d.mean, 1) << name;
      EXPECT_LE(d.mean_inside, 1) << name;
      EXPECT_LE(d.far, 0.005) << name;
    }
  }
  std::array<double, 3> centre_of(const fs::path& views) {
    const auto file = views / "calib/000_001.json";
    return body::parse_calibration(read_file(file), file.string()).centre;
  }
};

TEST_F(PeopleAsScans, OfThuman20LookLikeTheExactRoute) {
  const people::DressedPerson person = small_person();
  write_person_scan(folder, "0001", person, ScanSet::kThuman20, nullptr);
  RenderScansOptions options;
  options.scans = folder / "THuman2.0_Release";
  options.out = folder / "views";
  options.size = 256;
  const RenderScansReport report = render_scans(options);
  ASSERT_EQ(report.rendered, (std::vector<std::string>{"0001"}));
  const fs::path views = folder / "views/0001" / kViewsFolder;
  people::TexturedMesh moved = person.mesh;
  for (Point& p : moved.vertices)
    for (std::size_t k = 0; k < 3; ++k) p[k] += body::kCanonicalOffset[k] - person.params.transl[k];
  expect_same_views(moved, views, 256);
  // The parameters that a data set built from it carries are those of the moved person.
  const auto fit = body::read_fit(folder / "THUman20_Smpl-X/0001/smplx_param_refine.pkl", body::FitSource::kThuman20);
  const body::HandPca hands{std::vector<float>(45 * 45), std::vector<float>(45 * 45), {}, {}};
  body::PoseParams want = person.params;
  want.transl = body::kCanonicalOffset;
  want.scale = 0.45F;
  EXPECT_EQ(body::unify_fit(fit, body::FitSource::kThuman20, hands, centre_of(views)), want);
}

TEST_F(PeopleAsScans, OfCustomHumansStayInTheirPlace) {
  const people::DressedPerson person = small_person(7);
  const body::BodyModel model = body::read_smplx(kBody).model;
  write_person_scan(folder, "0000009", person, ScanSet::kCustomHumans, &model);
  RenderScansOptions options;
  options.scans = folder / "mesh";
  options.set = ScanSet::kCustomHumans;
  options.body = kBody;
  options.size = 256;
  ASSERT_EQ(render_scans(options).rendered.size(), 1U);
  const fs::path views = folder / "mesh/0000009" / kViewsFolder;
  expect_same_views(person.mesh, views, 256);
  const auto fit = body::read_fit(folder / "smplx/0000009/mesh-f00009.json", body::FitSource::kCustomHumans);
  const body::HandPca hands{std::vector<float>(45 * 45), std::vector<float>(45 * 45), {}, {}};
  body::PoseParams got = body::unify_fit(fit, body::FitSource::kCustomHumans, hands, centre_of(views));
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(got.transl[k], person.params.transl[k], 1e-6);
  got.transl = person.params.transl;
  EXPECT_EQ(got, person.params);
}

TEST_F(PeopleAsScans, OfThePackageLookLikeTheExactRoute) {
  const char* package = std::getenv("LAV_MAKEHUMAN_DIR");
  if (package == nullptr) GTEST_SKIP() << "LAV_MAKEHUMAN_DIR names no unpacked npm package";
  auto assets = people::read_human_assets(package);
  auto body = people::build_cc0_body(assets, package, 60);
  people::write_cc0_body(folder / "body.npz", body);
  people::Wardrobe wardrobe(package, std::move(assets), std::move(body));
  make_people_scans(wardrobe, folder, {.count = 2, .seed = 1, .set = ScanSet::kCustomHumans});
  RenderScansOptions options;
  options.scans = folder / "mesh";
  options.set = ScanSet::kCustomHumans;
  options.body = folder / "body.npz";
  options.size = 256;
  const RenderScansReport report = render_scans(options);
  ASSERT_EQ(report.rendered.size(), 2U);
  EXPECT_TRUE(report.warnings.empty()) << report.warnings[0].second;
  for (const std::uint64_t seed : {1, 2}) {
    const auto person = wardrobe.dress(people::sample_look(seed, package), people::sample_pose(seed));
    expect_same_views(person.mesh, folder / "mesh" / fmt::format("{:07}", seed) / kViewsFolder, 256);
  }
}

class TenScans : public FolderTest {
 protected:
  RenderScansOptions options;
  fs::path scan(int i) const { return options.scans / fmt::format("{:04}", i); }
  fs::path fit(int i) const { return folder / fmt::format("THUman20_Smpl-X/{:04}/smplx_param.pkl", i); }
  void SetUp() override {
    FolderTest::SetUp();
    options.scans = folder / "THuman2.0_Release";
    options.out = folder / "views";
    options.size = 32;
    for (int i = 0; i < 10; ++i) write_person_scan(folder, fmt::format("{:04}", i), small_person(static_cast<unsigned>(i), 4), ScanSet::kThuman20, nullptr);
  }
  std::set<std::string> made() const {
    std::set<std::string> out;
    for (const auto& e : fs::directory_iterator(options.out)) {
      if (fs::exists(e.path() / kViewsFolder)) out.insert(e.path().filename().string());
      for (const auto& part : fs::directory_iterator(e.path())) EXPECT_EQ(part.path().filename(), kViewsFolder) << "left behind";
    }
    return out;
  }
};

TEST_F(TenScans, WithFourDamagedGiveSixAndFourReasonsAndASecondRunDoesOnlyWhatIsMissing) {
  const std::string obj = read_file(scan(1) / "0001.obj");
  write_file(scan(1) / "0001.obj", obj.substr(0, obj.size() * 3 / 4 + 1));  // within the faces
  fs::rename(scan(3) / "material0.png", scan(3) / "away");
  const std::string pickle = read_file(fit(5));
  write_file(fit(5), io::format_pickle_arrays({{"betas", io::make_array<float>({1, 9}, std::vector<float>(9))}}));
  const std::string vertices = read_file(scan(8) / "0008.obj");
  write_file(scan(8) / "0008.obj", std::string(vertices).replace(vertices.find("v ") + 2, 3, "nan"));
  RenderScansReport report = render_scans(options);
  EXPECT_EQ(report.rendered, (std::vector<std::string>{"0000", "0002", "0004", "0006", "0007", "0009"}));
  ASSERT_EQ(report.failed.size(), 4U);
  EXPECT_EQ(report.failed[0].first, "0001");
  EXPECT_NE(report.failed[0].second.find("0001.obj: "), std::string::npos) << report.failed[0].second;
  EXPECT_NE(report.failed[1].second.find("0003/material0.png: cannot open"), std::string::npos) << report.failed[1].second;
  EXPECT_NE(report.failed[2].second.find("'betas' has 9 numbers; expected 10"), std::string::npos) << report.failed[2].second;
  EXPECT_NE(report.failed[3].second.find("cannot read number 'nan"), std::string::npos) << report.failed[3].second;
  EXPECT_EQ(made().size(), 6U);

  write_file(scan(1) / "0001.obj", obj);
  fs::rename(scan(3) / "away", scan(3) / "material0.png");
  write_file(fit(5), pickle);
  write_file(scan(8) / "0008.obj", vertices);
  const auto time = fs::last_write_time(options.out / "0000" / kViewsFolder / "image/000_000.png");
  report = render_scans(options);
  EXPECT_EQ(report.rendered, (std::vector<std::string>{"0001", "0003", "0005", "0008"}));
  EXPECT_EQ(report.kept.size(), 6U);
  EXPECT_TRUE(report.failed.empty());
  EXPECT_EQ(fs::last_write_time(options.out / "0000" / kViewsFolder / "image/000_000.png"), time);
  EXPECT_EQ(made().size(), 10U);
  int images = 0;
  for (const auto& e : fs::directory_iterator(options.out / "0008" / kViewsFolder / "image")) images += e.path().extension() == ".png";
  EXPECT_EQ(images, 54);
}

TEST_F(TenScans, AreSharedOutAndStoppedBetweenViews) {
  options.shards = 3;
  std::set<std::string> all;
  for (options.shard = 1; options.shard <= 3; ++options.shard)
    for (const auto& id : render_scans(options).rendered) EXPECT_TRUE(all.insert(id).second) << id;
  EXPECT_EQ(all.size(), 10U);
  options.shard = 4;
  EXPECT_EQ(message_of(ErrorKind::kConfig, [&] { render_scans(options); }), "shard = 4/3, must be in 1/n..n/n");

  options.shard = options.shards = 1;
  options.out = folder / "stopped";
  bool first = true;
  const auto report = render_scans(options, [&](const RenderScansProgress& p) {
    EXPECT_TRUE(!first || p.of_views == 0) << "before anything is read";
    first = false;
    return !(p.scan == 1 && p.views == 5);
  });
  EXPECT_EQ(report.rendered, (std::vector<std::string>{"0000"}));
  EXPECT_EQ(made(), (std::set<std::string>{"0000"}));
}

TEST_F(TenScans, KeepTheirSettingsAndGiveTheSameBytesAgain) {
  options.depth = options.normals = options.ambient = options.lit = true;
  options.shards = 10;
  ASSERT_EQ(render_scans(options).rendered.size(), 1U);
  const fs::path views = options.out / "0000" / kViewsFolder;
  const auto depth = io::read_npz(views / "depth/000_001.npz").at("depth");
  EXPECT_EQ(depth.shape, (std::vector<std::int64_t>{32, 32}));
  std::map<std::string, std::string> bytes;
  for (const auto& e : fs::recursive_directory_iterator(views))
    if (e.is_regular_file()) bytes[fs::relative(e.path(), views).string()] = read_file(e.path());
  EXPECT_EQ(bytes.size(), 54U * 6 + 1);
  options.lit = false;
  RenderScansReport report = render_scans(options);
  ASSERT_EQ(report.failed.size(), 1U);
  EXPECT_NE(report.failed[0].second.find("lit = false, the views that are there have true"), std::string::npos);
  options.lit = options.again = true;
  EXPECT_EQ(render_scans(options).rendered.size(), 1U);
  for (const auto& [name, content] : bytes) EXPECT_EQ(read_file(views / name), content) << name;
}

}  // namespace
}  // namespace layeravatar::scan
